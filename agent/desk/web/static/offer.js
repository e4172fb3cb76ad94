// Asks how far an offer is, until it is over. Nothing secret is in what is asked or answered.

const line = document.getElementById("state");
const left = document.getElementById("left");

async function ask() {
  const answer = await fetch(`/offers/${line.dataset.offer}`);
  if (!answer.ok) throw new Error(line.dataset.gone);
  return answer.json();
}

async function follow() {
  for (;;) {
    try {
      const found = await ask();
      if (line.textContent !== found.line) line.textContent = found.line;
      left.textContent = `${Math.floor(found.left / 60)}:${String(found.left % 60).padStart(2, "0")}`;
      if (found.spent) for (const step of document.querySelectorAll("details.step")) step.remove();
      if (found.over) {
        line.classList.add(found.good ? "good" : "warn");
        return;
      }
    } catch (error) {
      line.textContent = line.dataset.gone;
      line.classList.add("warn");
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
}

// Exclusive where the browser does not know `<details name>` yet: never both on the screen.
const steps = [...document.querySelectorAll("details.step")];
for (const step of steps) {
  step.addEventListener("toggle", () => {
    if (step.open) for (const other of steps) if (other !== step) other.open = false;
  });
}

follow();

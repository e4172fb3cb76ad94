// Follows a job until it is over.

const part = document.getElementById("job");
const [bar, line, sheet] = ["bar", "line", "sheet"].map((id) => document.getElementById(id));

async function follow() {
  for (;;) {
    const answer = await fetch(`/cards/jobs/${part.dataset.job}/state`);
    if (!answer.ok) throw new Error(part.dataset.gone);
    const found = await answer.json();
    bar.value = found.done;
    bar.textContent = `${found.done} / ${found.total}`;
    // A screen reader hears tenths, not every card.
    const told = found.over ? found.line : `${Math.floor((found.done * 10) / found.total) * 10} %`;
    if (line.textContent !== told) line.textContent = told;
    if (found.over) {
      sheet.hidden = !found.good;
      return;
    }
    await new Promise((done) => setTimeout(done, 300));
  }
}

follow().catch(() => {
  line.textContent = part.dataset.gone;
});

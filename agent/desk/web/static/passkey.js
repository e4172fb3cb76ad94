// Passkeys in the browser: asks the desk for options, the device for an answer, the desk again.
// The invitation stands behind the address's `#`, which is not sent with any request.

const part = document.querySelector("[data-passkey]");
const button = document.getElementById("go");
const say = document.getElementById("say");
const registers = part.dataset.passkey === "register";

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Refused(found.error);
  return found;
}

class Refused extends Error {}

async function register() {
  const code = location.hash.slice(1);
  if (!code) throw new Refused(say.dataset.uninvited);
  const options = await post("/welcome/options", { code });
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey);
  const made = await navigator.credentials.create({ publicKey });
  return post("/welcome", { code, answer: made.toJSON() });
}

async function signIn() {
  const options = await post("/signin/options", {});
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey);
  const got = await navigator.credentials.get({ publicKey });
  return post("/signin", got.toJSON());
}

function nextPage(fallback) {
  const wanted = new URLSearchParams(location.search).get("next");
  if (!wanted) return fallback;
  const url = new URL(wanted, location.origin);
  return url.origin === location.origin ? url.pathname : fallback;
}

async function go() {
  button.disabled = true;
  say.classList.remove("warn");
  say.textContent = say.dataset.wait;
  try {
    const done = registers ? await register() : await signIn();
    location.replace(nextPage(done.next));
  } catch (error) {
    const unreachable = error instanceof TypeError || error instanceof SyntaxError;
    say.textContent = error instanceof Refused ? error.message
      : unreachable ? say.dataset.failed : say.dataset.refused;
    say.classList.add("warn");
    button.disabled = false;
  }
}

if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  button.disabled = false;
  button.addEventListener("click", go);
} else {
  say.textContent = say.dataset.unable;
  say.classList.add("warn");
}

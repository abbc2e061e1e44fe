// Asks for the same page again and changes what has changed. Nothing is stored and nothing is sent.
"use strict";

const EVERY = 2000;
const GIVE_UP_AFTER = 10000;

const main = document.querySelector("main");
const live = document.getElementById("live");
const pause = document.getElementById("pause");
let paused = false;
let timer = 0;
let failedSince = null;

// Turns `old` into `fresh` with as few changes as there are differences, so that focus, selection and
// scrolling stay where they are.
function become(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  const now = [...old.childNodes];
  const then = [...fresh.childNodes];
  then.forEach((node, n) => (n < now.length ? become(now[n], node) : old.append(node)));
  now.slice(then.length).forEach((node) => node.remove());
}

function say(text, failed) {
  live.textContent = text;
  live.classList.toggle("failed", failed);
  document.body.classList.toggle("stale", failed);
}

async function ask() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  try {
    const signal = AbortSignal.timeout(GIVE_UP_AFTER);
    const answer = await fetch("/api/status", { headers: { accept: "text/html" }, signal, cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString("<main>" + (await answer.text()) + "</main>", "text/html");
    become(main, fresh.querySelector("main"));
    document.title = main.querySelector("[data-title]").dataset.title;
    failedSince = null;
    say("live", false);
  } catch {
    failedSince ??= new Date();
    say("no answer since " + failedSince.toLocaleTimeString() + ": what is shown is old", true);
  }
  clearTimeout(timer);
  timer = setTimeout(ask, EVERY);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  if (paused) say("paused", false);
  ask();
});
document.addEventListener("visibilitychange", ask);
ask();

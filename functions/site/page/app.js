// The page: its key, its views, its shortcuts.

import { key, Problem } from "./api.js";
import { h, note, say, tick, waiting } from "./dom.js";
import { capital } from "./format.js";
import { go, keyInAddress, route, to } from "./router.js";
import * as runs from "./runs.js";
import * as search from "./search.js";
import * as system from "./system.js";
import * as tweets from "./tweets.js";

const VIEWS = { search, runs, tweets, system };
const GOTO = { s: [], r: ["runs"], t: ["tweets"], y: ["system"] };
const SHORTCUTS = [
  ["/", "search a film"], ["g s", "go to Search"], ["g r", "go to Runs"], ["g t", "go to Tweets"], ["g y", "go to System"],
  ["j k", "next and previous tweet that waits"], ["a", "approve it"], ["e", "edit it"], ["x", "reject it"], ["?", "this list"], ["Esc", "close, or stop editing"],
];

const QUIET = "marquee.no-shortcuts";
const CHORD = 1_500;
const EVERY = 30_000;
const STRANGE_KEY = "A key is made of letters, digits and signs without a space between them. Copy it once more.";

const main = document.getElementById("main");
let leave = new AbortController();

/** Show the view of the address; what the one before was doing ends. */
async function shown() {
  const given = keyInAddress();
  if (given && key.fits(given)) key.set(given);
  leave.abort(new DOMException("left", "AbortError"));
  leave = new AbortController();
  const { signal } = leave;
  const asked = route();
  const name = asked.path[0] ?? "search";
  for (const one of document.querySelectorAll(".bar nav a")) {
    const here = (route(one.getAttribute("href")).path[0] ?? "search") === name;
    if (here) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  if (!key.get()) return askForKey(given && STRANGE_KEY);
  const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : null;
  if (!view) {
    main.replaceChildren(h("h1", {}, "There is nothing here"), h("p", {}, h("a", { href: to([]) }, "Search a film")));
    return undefined;
  }
  document.title = `${capital(name)} · Marquee`;
  main.replaceChildren(waiting("Loading"));
  try {
    const title = await view.show(main, asked, signal);
    if (!signal.aborted && title) document.title = `${title} · Marquee`;
  } catch (problem) {
    if (signal.aborted) return undefined;
    if ([401, 403].includes(problem.status)) return askForKey(problem.message);
    for (const one of main.querySelectorAll(".loading")) one.remove();
    if (!(problem instanceof Problem)) {
      main.append(note("bad", "The page cannot show this: it does not understand what Marquee answered. Reload it."));
      throw problem;
    }
    main.append(note("bad", problem.message, h("button", { type: "button", onclick: shown }, "Try again")));
  }
  return undefined;
}

function askForKey(refused) {
  key.forget();
  const input = h("input", { id: "key", type: "password", autocomplete: "off", "aria-describedby": "where" });
  const said = h("div", {}, refused ? note("bad", refused) : null);
  document.title = "Marquee";
  main.replaceChildren(h("section", { class: "hero" }, h("h1", {}, "What do people say about a film?"),
    h("p", { class: "lead" }, "Marquee finds a film, reads what people write about it, and posts an account's tweets, each exactly once."),
    said,
    h("form", { class: "search", onsubmit: (event) => {
      event.preventDefault();
      const value = input.value.trim();
      if (key.fits(value)) {
        key.set(value);
        shown();
      } else {
        said.replaceChildren(note("bad", value ? STRANGE_KEY : "Paste the key first."));
        input.focus();
      }
    } },
      h("label", { for: "key" }, "API key"),
      h("div", { class: "box" }, input, h("button", { class: "main" }, "Open"))),
    h("p", { id: "where", class: "quiet" }, "On a laptop, ", h("code", {}, "marquee status"), " prints an address that holds it. On AWS it is in the console, at API Gateway. This tab keeps it until it is closed, and sends it to nobody else.")));
  input.focus();
}

/** A list of the shortcuts, as a dialog; who dictates or presses keys by accident turns them off. */
function help() {
  const dialog = h("dialog", { "aria-labelledby": "keys", onclose: () => dialog.remove() }, h("h2", { id: "keys" }, "Keyboard"),
    h("dl", { class: "keys" }, SHORTCUTS.map(([keys, does]) => [h("dt", {}, keys.split(" ").map((one) => [h("kbd", {}, one), " "])), h("dd", {}, does)])),
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: !sessionStorage.getItem(QUIET),
      onchange: (event) => (event.target.checked ? sessionStorage.removeItem(QUIET) : sessionStorage.setItem(QUIET, "1")) }),
      "Single keys do this"),
    h("form", { method: "dialog" }, h("button", { class: "main" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

let chord = -CHORD; // when g was pressed
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, dialog");
  const went = event.timeStamp - chord < CHORD;
  chord = -CHORD;
  // A key that is held would decide about tweet after tweet.
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing || sessionStorage.getItem(QUIET)) return;
  const pressed = event.key;
  if (went && Object.hasOwn(GOTO, pressed)) go(to(GOTO[pressed]));
  else if (pressed === "g") chord = event.timeStamp;
  else if (pressed === "?") help();
  else if (pressed === "/") {
    const title = document.getElementById("title");
    if (title) title.focus();
    else go(to([]));
    event.preventDefault();
  } else tweets.pressed(pressed, event);
});

document.getElementById("help").onclick = help;
document.querySelector(".skip").onclick = (event) => {
  event.preventDefault(); // an address behind the hash is a view's
  main.focus();
};

/** Put who came here at the beginning: in the box where a film is typed, or at the heading. */
function arrive() {
  const place = location.hash.length < 3 ? document.getElementById("title") : main.querySelector("h1");
  if (place?.matches("h1")) place.tabIndex = -1;
  place?.focus({ preventScroll: true });
}

// How far down one was is kept with each entry of the history.
history.scrollRestoration = "manual";
let returning = false;
let scrolled = 0;
const keepPlace = () => {
  clearTimeout(scrolled);
  if (!returning) history.replaceState({ ...history.state, y: scrollY }, "");
};
addEventListener("scroll", () => {
  clearTimeout(scrolled);
  scrolled = setTimeout(keepPlace, 200);
}, { passive: true });
document.addEventListener("click", keepPlace, { capture: true });

/** Down to where one was, as soon as the view is that long again; who moves first stays. */
function comeBack(y, signal) {
  clearTimeout(scrolled);
  scrollTo(0, y);
  if (!y) return;
  returning = true;
  const grown = new ResizeObserver(() => {
    scrollTo(0, y);
    if (Math.abs(scrollY - y) < 2) stop();
  });
  const stop = () => {
    grown.disconnect();
    returning = false;
  };
  signal.addEventListener("abort", stop, { once: true });
  for (const name of ["wheel", "touchmove", "keydown", "pointerdown"]) addEventListener(name, stop, { once: true, signal });
  grown.observe(main);
}

window.addEventListener("hashchange", () => {
  const y = history.state?.y ?? 0;
  shown();
  arrive();
  comeBack(y, leave.signal);
});
window.addEventListener("offline", () => say("You are offline"));
window.addEventListener("online", () => say("You are online again"));
setInterval(tick, EVERY);
const at = history.state?.y ?? 0;
shown();
if (location.hash.length < 3) arrive();
comeBack(at, leave.signal);

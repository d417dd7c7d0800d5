// The page: its key, its views, its shortcuts.

import { key, Problem } from "./api.js";
import { h, note, say, waiting } from "./dom.js";
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

const main = document.getElementById("main");
let leave = new AbortController();

/** Show the view of the address; what the one before was doing ends. */
async function shown() {
  const given = keyInAddress();
  if (given) key.set(given);
  leave.abort(new DOMException("left", "AbortError"));
  leave = new AbortController();
  const { signal } = leave;
  const asked = route();
  const name = asked.path[0] ?? "search";
  for (const one of document.querySelectorAll("nav a")) {
    const here = (route(one.getAttribute("href")).path[0] ?? "search") === name;
    if (here) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  if (!key.get()) return askForKey();
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
  const input = h("input", { id: "key", type: "password", required: true, autocomplete: "off", "aria-describedby": "where" });
  document.title = "Marquee";
  main.replaceChildren(h("section", { class: "hero" }, h("h1", {}, "What do people say about a film?"),
    h("p", { class: "lead" }, "Marquee finds a film, reads what people write about it, and posts an account's tweets, each exactly once."),
    refused ? note("bad", refused) : null,
    h("form", { class: "search", onsubmit: (event) => {
      event.preventDefault();
      key.set(input.value.trim());
      shown();
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

let before = "";
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, dialog");
  if (event.ctrlKey || event.metaKey || event.altKey || typing || sessionStorage.getItem(QUIET)) return;
  const pressed = event.key;
  if (before === "g" && Object.hasOwn(GOTO, pressed)) go(to(GOTO[pressed]));
  else if (pressed === "?") help();
  else if (pressed === "/") {
    const title = document.getElementById("title");
    if (title) title.focus();
    else go(to([]));
    event.preventDefault();
  } else tweets.pressed?.(pressed, event);
  before = pressed;
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

window.addEventListener("hashchange", () => {
  shown();
  arrive();
  scrollTo(0, 0);
});
window.addEventListener("offline", () => say("You are offline"));
window.addEventListener("online", () => say("You are online again"));
shown();
if (location.hash.length < 3) arrive();

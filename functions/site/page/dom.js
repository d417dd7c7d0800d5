// Elements from data. Text is only ever text: nothing here, or anywhere in the page, parses markup.

import { paired } from "./diff.js";
import { ago, moment } from "./format.js";
import { to } from "./router.js";

const SVG = "http://www.w3.org/2000/svg";

/** A link that may be followed: http(s), or a place within the page. Anything else is none. */
export function link(address) {
  const text = String(address ?? "");
  if (text.startsWith("#")) return text;
  try {
    const url = new URL(text);
    return ["http:", "https:", "blob:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function built(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    else if (name === "href") {
      const address = link(value);
      if (!address) continue;
      node.setAttribute("href", address);
      if (!address.startsWith("#")) node.setAttribute("rel", "noreferrer noopener nofollow");
    } else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...nodes(children));
  return node;
}

const nodes = (children) => children.flat(9).filter((child) => child || child === 0)
  .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));

/** An HTML element: properties are attributes, `on…` functions, children nodes or text. */
export const h = (tag, properties, ...children) =>
  built(document.createElement(tag), properties, children);

/** The same of SVG. */
export const s = (tag, properties, ...children) =>
  built(document.createElementNS(SVG, tag), properties, children);

const HANDLERS = ["onclick", "onsubmit", "oninput", "onchange", "onkeydown", "onblur", "onfocus", "onerror"];

/** Make the children of `parent` such as `wanted`, touching only what differs: what a person has
 *  focused, opened, scrolled or typed stays, also where something comes or goes before it. */
export function update(parent, ...wanted) {
  const before = [...parent.childNodes];
  const next = nodes(wanted);
  let seen = 0;
  for (const [i, j] of paired(before.map(kindOf), next.map(kindOf))) {
    if (i !== null) seen = i + 1;
    if (i === null) parent.insertBefore(next[j], before[seen] ?? null);
    else if (j !== null) become(before[i], next[j]);
    else if (!next.includes(before[i])) before[i].remove();
  }
}

/** What tells an element from its neighbors: a row is itself by its key alone. */
const kindOf = (node) =>
  `${node.nodeName} ${node.id ?? ""} ${node.dataset?.key ?? ""} ${node.getAttribute?.("class")?.split(" ")[0] ?? ""}`;

function become(old, node) {
  if (old === node || old.dataset?.asks) return;
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== node.data) old.data = node.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    const kept = name === "open" && old.nodeName === "DETAILS";
    if (!kept && !node.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of HANDLERS) if (old[name] !== node[name]) old[name] = node[name];
  if ("checked" in node && old.type === "checkbox") old.checked = node.checked;
  update(old, ...node.childNodes);
}

let unsaid = [];

/** Tell a screen reader, without moving anybody. The region is emptied first, so that the same
 *  words are told a second time too. */
export function say(text) {
  const place = document.getElementById("said");
  place.textContent = "";
  if (unsaid.push(text) > 1) return;
  setTimeout(() => {
    place.textContent = unsaid.join(". ");
    unsaid = [];
  }, 50);
}

/** A region that says that it waits. */
export const waiting = (what) => h("p", { class: "loading" }, what, " …");

/** A sentence about something that went wrong or lacks, with what can be done about it. */
export const note = (kind, text, ...actions) =>
  h("div", { class: `note ${kind}`, role: kind === "bad" ? "alert" : undefined },
    h("p", {}, text), actions.length ? h("div", { class: "actions" }, actions) : null);

/** A button that asks for something: off meanwhile, and if it could not be, that is said beside it.
 *  What `ask` answers stands in its place then. No refresh touches it before. */
export const asks = (label, ask, properties) => h("button", { type: "button", ...properties, onclick: async ({ currentTarget: button }) => {
  const place = button.parentElement;
  const hadFocus = document.activeElement === button;
  place.dataset.asks = "it";
  button.disabled = true;
  place.querySelector(":scope > .failed")?.remove();
  try {
    const answer = await ask();
    if (answer) button.replaceWith(answer);
    delete place.dataset.asks;
  } catch (problem) {
    if (problem.status === undefined) throw problem;
    place.append(h("div", { class: "failed" }, note("bad", problem.message)));
  } finally {
    button.disabled = false;
    if (hadFocus && button.isConnected) button.focus({ preventScroll: true });
  }
} }, label);

/** How long ago, or until when, kept up by `tick`. */
export const since = (at) => h("time", { datetime: at, title: moment(at), "data-ago": "" }, ago(at));

/** Times pass: what `since` has written is written anew. */
export function tick() {
  for (const one of document.querySelectorAll("time[data-ago]")) {
    const words = ago(one.dateTime);
    if (one.textContent !== words) one.textContent = words;
  }
}

/** A table with its headings; `rows` hold a key and the cells, the first of which names the row. The
 *  roles are said, as a table that is laid out as blocks on a phone may lose them. */
export const table = (caption, headings, rows, name = "") =>
  h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h("table", { class: name, role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headings.map((heading) =>
        h("th", { scope: "col", role: "columnheader" }, heading)))),
      h("tbody", { role: "rowgroup" }, rows.map(([key, cells]) => h("tr", { role: "row", "data-key": key }, cells.map((cell, index) =>
        index === 0 ? h("th", { scope: "row", role: "rowheader" }, cell)
          : h("td", { role: "cell", "data-label": headings[index] }, cell)))))));

/** A choice among few, as a labeled select. */
export const choice = (label, name, value, options) =>
  h("label", { class: "field" }, h("span", {}, label),
    h("select", { name }, options.map(([option, words]) =>
      h("option", { value: option, selected: option === (value ?? "") }, words))));

/** A labeled input. */
export const field = (label, name, properties) =>
  h("label", { class: "field" }, h("span", {}, label), h("input", { name, ...properties }));

/** A form of filters: a choice shows at once, what is typed with the button, and each is an address.
 *  Only what is found changes: the form, and who is in it, stay. */
export function filters(path, query, signal, find, ...fields) {
  let last = new AbortController();
  const look = (given) => {
    last.abort(new DOMException("asked anew", "AbortError"));
    last = new AbortController();
    const mine = AbortSignal.any([signal, last.signal]);
    return find(given, mine).catch((problem) => {
      if (mine.aborted) return;
      throw problem;
    });
  };
  const ask = (form, entry) => {
    const given = Object.fromEntries(new FormData(form));
    history[entry](null, "", to(path, given));
    look(given).catch(() => dispatchEvent(new HashChangeEvent("hashchange")));
  };
  const form = h("form", {
    class: "fields", role: "search", "aria-label": "Filter",
    onsubmit: (event) => { event.preventDefault(); ask(event.target, "pushState"); },
    onchange: (event) => { if (event.target.matches("select, [type=date]")) ask(event.target.form, "replaceState"); },
  }, fields, h("button", { class: "main" }, "Show"));
  const chosen = Object.entries(query).some(([name, value]) => name !== "cursor" && value);
  const whole = h("details", { class: "filters", open: chosen || matchMedia("(min-width: 40.01rem)").matches }, h("summary", {}, "Filter"), form);
  return { whole, look };
}

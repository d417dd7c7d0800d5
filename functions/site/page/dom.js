// Elements from data. Text is only ever text: nothing here, or anywhere in the page, parses markup.

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
  node.append(...children.flat(9).filter((child) => child || child === 0).map((child) =>
    child instanceof Node ? child : document.createTextNode(String(child))));
  return node;
}

/** An HTML element: properties are attributes, `on…` functions, children nodes or text. */
export const h = (tag, properties, ...children) =>
  built(document.createElement(tag), properties, children);

/** The same of SVG. */
export const s = (tag, properties, ...children) =>
  built(document.createElementNS(SVG, tag), properties, children);

const HANDLERS = ["onclick", "onsubmit", "oninput", "onchange", "onkeydown", "onblur", "onfocus", "onerror"];

/** Make the children of `parent` such as `wanted`, touching only what differs: what a person has
 *  focused, opened, scrolled or typed stays. */
export function update(parent, ...wanted) {
  const next = wanted.flat(9).filter((child) => child || child === 0).map((child) =>
    child instanceof Node ? child : document.createTextNode(String(child)));
  next.forEach((node, index) => {
    const old = parent.childNodes[index];
    if (!old) parent.append(node);
    else if (!same(old, node)) parent.replaceChild(node, old);
    else become(old, node);
  });
  while (parent.childNodes.length > next.length) parent.lastChild.remove();
}

const same = (old, node) =>
  old.nodeName === node.nodeName && (old.id ?? "") === (node.id ?? "") &&
  (old.dataset?.key ?? "") === (node.dataset?.key ?? "");

function become(old, node) {
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

/** Tell a screen reader, without moving anybody. */
export function say(text) {
  const place = document.getElementById("said");
  if (place.textContent !== text) place.textContent = text;
}

/** A region that says that it waits. */
export const waiting = (what) => h("p", { class: "loading" }, what, " …");

/** A sentence about something that went wrong or lacks, with what can be done about it. */
export const note = (kind, text, ...actions) =>
  h("div", { class: `note ${kind}`, role: kind === "bad" ? "alert" : undefined },
    h("p", {}, text), actions.length ? h("p", { class: "actions" }, actions) : null);

/** A table with its headings; `rows` hold lists of cells, the first of which names the row. The
 *  roles are said, as a table that is laid out as blocks on a phone may lose them. */
export const table = (caption, headings, rows, name = "") =>
  h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h("table", { class: name, role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headings.map((heading) =>
        h("th", { scope: "col", role: "columnheader" }, heading)))),
      h("tbody", { role: "rowgroup" }, rows.map((cells) => h("tr", { role: "row" }, cells.map((cell, index) =>
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

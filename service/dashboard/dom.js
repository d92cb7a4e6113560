// Making and filling elements. Children are nodes or text, and text stays text whatever it holds.

export const $ = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const pill = (text, tone = "idle") => element("span", { class: "pill", "data-tone": tone }, text);
export const term = (name, ...value) => element("div", {}, element("dt", {}, name), element("dd", {}, ...value));
export const terms = (...pairs) => element("dl", { class: "measures" }, pairs.filter(Boolean).map(([name, ...value]) => term(name, ...value)));
export const empty = (text) => element("p", { class: "empty" }, text);
export const note = (text, tone = "warn") => element("p", { class: "note", "data-tone": tone }, text);
export const link = (href, text, more = {}) => element("a", { href, ...more }, text);
export const time = (iso, write) => element("time", { datetime: iso }, write(iso));

export const orderParamHref = (name) => `#/order-params/${encodeURIComponent(name)}`;
export const orderParamLink = (name) => link(orderParamHref(name), name, { class: "name", "data-key": `order-param ${name}` });
export const way = (source, destination) => element("span", { class: "way" }, `${source ?? "new"} → ${destination}`);

export const button = (text, act, more = {}) => element("button", { type: "button", onclick: act, ...more }, text);

let headings = 0;
// A part of a page: [section, body, aside]. The heading names it for those who do not see it.
export function panel(title, { level = 2, wide = true } = {}) {
  const id = `heading-${(headings += 1)}`;
  const aside = element("div", { class: "aside" });
  const body = element("div", { class: "body" });
  const head = element("div", { class: "section-head" }, element(`h${level}`, { id }, title), aside);
  return [element("section", { class: wide ? "panel" : "panel narrow", "aria-labelledby": id }, head, body), body, aside];
}

// Puts children into a node; who has the focus in there keeps it if an element with its data-key comes back.
export function fill(node, ...children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  if (focused !== undefined) node.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

// A table in a frame that scrolls by itself, so that a phone's page never does so sideways.
// columns: [{ label, cell: (item) => node or text, number, nowrap, text, ids, bar, head }]; `text` is long, `bar` is a drawing, and
// `head` marks the column that names the row.
export function table(label, columns, items, none = "Nothing yet.") {
  if (!items.length) return empty(none);
  const kind = (column) => (["number", "nowrap", "text", "ids", "bar"].find((each) => column[each]) ?? null);
  const heads = columns.map((column) => element("th", { scope: "col", class: kind(column) }, column.label));
  const rows = items.map((item) => element("tr", {}, columns.map((column) => element(
    column.head ? "th" : "td", { class: kind(column), scope: column.head ? "row" : null }, column.cell(item)))));
  return element("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": label },
    element("table", { "aria-label": label }, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, rows)));
}

// Calls `draw` only when the data differ from those it was last called with, so that focus and scroll survive a poll.
export function whenChanged(draw) {
  let last;
  return (...data) => {
    const text = JSON.stringify(data);
    if (text === last) return;
    last = text;
    draw(...data);
  };
}

// Tells a screen reader, in its own time, what has been done.
export function say(text) {
  $("said").textContent = text;
}

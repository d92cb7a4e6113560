// A table of any length: the service sorts, searches and pages, and only the rows in sight exist.
//
// Rows have one height (pages.css says 34 px), so the place of each is known without its content. Pages of rows are fetched
// when they come into sight, and those in sight again when `refresh` is called. A row keeps its element while it is in sight,
// so that focus and selection survive a refresh.

import { sentence } from "./api.js";
import { button, element } from "./dom.js";

const ROW_PX = 34;
const PAGE_ROWS = 100;
const OVERSCAN_ROWS = 15;
const PAGES_KEPT = 20;

// columns: [{ label, cell, sort, number, head, optional, wide }]; `sort` is the word that the service sorts by.
// fetchPage: async (offset, limit, sort) => { items, total }. Returns { node, reload, refresh }.
export function virtualTable({ label, columns, key, fetchPage, sort = null, none, onTotal, signal }) {
  const state = { total: null, sort, version: 0, pages: new Map(), loading: new Set(), error: null };
  const rows = new Map(); // index -> { node, text }
  const top = element("tr", { class: "spacer", "aria-hidden": "true" }, element("td"));
  const bottom = element("tr", { class: "spacer", "aria-hidden": "true" }, element("td"));
  const body = element("tbody", {}, top, bottom);
  const heads = element("tr", { "aria-rowindex": 1 });
  const grid = element("table", { "aria-label": label }, element("thead", {}, heads), body);
  const frame = element("div", { class: "table-frame virtual", tabindex: "0", role: "region", "aria-label": label }, grid);
  const message = element("p", { class: "empty" }, "Loading…");
  const node = element("div", {}, message, frame);

  function drawHeads() {
    heads.replaceChildren(...columns.map((column) => {
      const sorted = column.sort && column.sort === state.sort;
      const content = column.sort ? button(`${column.label}${sorted ? " ↓" : ""}`, () => { state.sort = column.sort; reload(); }, { "data-key": `sort ${column.sort}` }) : column.label;
      return element("th", {
        scope: "col", class: classOf(column), "aria-sort": sorted ? (column.number ? "descending" : "ascending") : null }, content);
    }));
  }

  const classOf = (column) => [column.number && "number", column.optional && "optional", column.wide && "wide"].filter(Boolean).join(" ") || null;

  function rowOf(index, item) {
    const text = item ? JSON.stringify(item) : "";
    const known = rows.get(index);
    if (known?.text === text) return known.node;
    const cells = columns.map((column) => element(column.head ? "th" : "td", { class: classOf(column), scope: column.head ? "row" : null },
      item ? column.cell(item) : column.head ? "…" : ""));
    if (known) {
      const focused = known.node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
      known.node.replaceChildren(...cells);
      if (focused !== undefined) known.node.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
      known.text = text;
      if (item) known.node.dataset.orderParam = key(item);
      return known.node;
    }
    const made = element("tr", { "aria-rowindex": index + 2, "data-order-param": item ? key(item) : null }, cells);
    rows.set(index, { node: made, text });
    return made;
  }

  function sight() {
    const first = Math.max(0, Math.floor(frame.scrollTop / ROW_PX) - OVERSCAN_ROWS);
    const last = Math.min(state.total, Math.ceil((frame.scrollTop + (frame.clientHeight || 600)) / ROW_PX) + OVERSCAN_ROWS);
    return [first, Math.max(first, last)];
  }

  function place(index, previous) {
    const page = state.pages.get(Math.floor(index / PAGE_ROWS));
    const row = rowOf(index, page?.[index % PAGE_ROWS]);
    if (previous.nextSibling !== row) previous.after(row);
    return row;
  }

  function draw() {
    message.hidden = !state.error && state.total !== null && state.total > 0;
    message.textContent = state.error ? `This cannot be shown: ${state.error}.` : state.total === null ? "Loading…" : none();
    frame.hidden = !state.total;
    if (!state.total) return;
    grid.setAttribute("aria-rowcount", state.total + 1);
    const [first, last] = sight();
    for (const [index, { node: row }] of rows) {
      if (index < first || index >= last) { row.remove(); rows.delete(index); }
    }
    top.firstChild.style.height = `${first * ROW_PX}px`;
    bottom.firstChild.style.height = `${(state.total - last) * ROW_PX}px`;
    let previous = top;
    for (let index = first; index < last; index += 1) previous = place(index, previous);
    for (let page = Math.floor(first / PAGE_ROWS); page * PAGE_ROWS < last; page += 1) if (!state.pages.has(page)) load(page);
  }

  async function load(page) {
    const { version } = state;
    if (state.loading.has(page)) return;
    state.loading.add(page);
    try {
      const { items, total } = await fetchPage(page * PAGE_ROWS, PAGE_ROWS, state.sort);
      if (version !== state.version || signal.aborted) return;
      state.pages.delete(page);
      state.pages.set(page, items); // last in the order, so that what was looked at longest ago goes first
      if (state.pages.size > PAGES_KEPT) state.pages.delete(state.pages.keys().next().value);
      state.total = total;
      state.error = null;
      onTotal(total);
    } catch (error) {
      if (version !== state.version || signal.aborted) return;
      state.error = sentence(error);
      if (state.total === null) state.total = 0;
    } finally {
      if (version === state.version) state.loading.delete(page);
    }
    draw();
  }

  // Begins anew: another search or order.
  async function reload() {
    Object.assign(state, { version: state.version + 1, total: null, error: null });
    state.pages.clear();
    state.loading.clear();
    for (const { node: row } of rows.values()) row.remove();
    rows.clear();
    const focused = heads.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    drawHeads();
    if (focused !== undefined) heads.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    frame.scrollTop = 0;
    await load(0);
  }

  // Asks again for what is in sight.
  async function refresh() {
    if (state.total === null) return;
    const [first, last] = sight();
    const pages = new Set([Math.floor(first / PAGE_ROWS), Math.max(0, Math.floor((last - 1) / PAGE_ROWS))]);
    await Promise.all([...pages].map(load));
  }

  let frameAsked = false;
  frame.addEventListener("scroll", () => {
    if (frameAsked) return;
    frameAsked = true;
    requestAnimationFrame(() => { frameAsked = false; draw(); });
  }, { passive: true });
  new ResizeObserver(() => { if (state.total) draw(); }).observe(frame);
  drawHeads();
  return { node, reload, refresh };
}

// A list that the service gives newest first, page by page: the number of the last one shown asks for the next page.

import { ask } from "./api.js";
import { button, element, empty, fill } from "./dom.js";
import { count } from "./format.js";
import { failure } from "./live.js";

// draw(items) makes the node that shows them. Returns a function that begins anew.
export function pagedList({ body, aside, signal, path, parameters, draw, none }) {
  const holder = element("div", {}, empty("Loading…"));
  const more = element("p", { class: "more" });
  const state = { items: [], version: 0 };
  body.append(holder, more);

  async function load(before, version) {
    try {
      const page = await ask(path, { ...parameters(), before });
      if (signal.aborted || version !== state.version) return;
      state.items = before === undefined ? page.items : [...state.items, ...page.items];
      aside.textContent = `${count(state.items.length)} shown${page.next_before === null ? "" : ", there are more"}`;
      fill(holder, state.items.length ? draw(state.items) : empty(none));
      fill(more, page.next_before === null ? null : button("Show older ones", () => load(page.next_before, version), { "data-key": "older" }));
    } catch (error) {
      if (!signal.aborted && version === state.version) fill(holder, failure(error));
    }
  }
  return () => load(undefined, (state.version += 1));
}

// Forms that ask for any number of like things, and what is typed as values.

import { button, element } from "./dom.js";

export const number = (text) => Number(text);
export const numberOr = (text, otherwise) => (text === "" || text === null ? otherwise : Number(text));
export const listOf = (text) => text.split(",").map((each) => each.trim()).filter(Boolean);

// A time typed without an offset means UTC, as all times here.
export const utcOf = (text) => (text ? `${text.length === 16 ? `${text}:00` : text}Z` : null);
export const localOf = (iso) => iso.slice(0, 16);

// A group of like lines. `fields()` makes the controls of one, `read(values)` makes of their values what is sent.
export function lines({ title, add, none, fields, read }) {
  const list = element("div", { class: "lines" });
  const nothing = none ? element("p", { class: "hint" }, none) : null;
  const addButton = button(add, () => {
    const line = element("div", { class: "line" }, fields());
    line.append(button("Remove", () => { line.remove(); changed(); addButton.focus(); }, { class: "small", "aria-label": `Remove this one from ${title}` }));
    list.append(line);
    changed();
    line.querySelector("input, select").focus();
  }, { class: "small add-row" });
  const changed = () => { if (nothing) nothing.hidden = list.children.length > 0; };
  const node = element("fieldset", {}, element("legend", {}, title), nothing, list, addButton);
  const valuesOf = (line) => Object.fromEntries([...line.querySelectorAll("input, select")].map((control) => [control.name, control.value]));
  return { node, read: () => [...list.children].map((line) => read(valuesOf(line))) };
}

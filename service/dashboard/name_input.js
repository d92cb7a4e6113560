// A control for the name of an order param that suggests names as the service knows them.

import { ask } from "./api.js";
import { element, fill } from "./dom.js";
import { field, input } from "./live.js";

const SUGGESTIONS = 20;
const TYPING_MS = 200;
let lists = 0;

export function nameField(label, name, more = {}, hint) {
  const list = element("datalist", { id: `names-${(lists += 1)}` });
  const control = input(name, { required: true, list: list.id, ...more });
  let typing = 0;
  control.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(async () => {
      const last = control.value.split(",").pop().trim(); // the one that is being typed, where there may be several
      if (!last) return;
      const { items } = await ask("allocations", { contains: last, limit: SUGGESTIONS }).catch(() => ({ items: [] }));
      const before = control.value.slice(0, control.value.length - control.value.split(",").pop().length);
      fill(list, ...items.map((each) => element("option", { value: `${before}${before ? " " : ""}${each.order_param}` })));
    }, TYPING_MS);
  });
  const made = field(label, control, hint);
  made.append(list);
  return made;
}

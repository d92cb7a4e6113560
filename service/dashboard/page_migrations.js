// Migrations, those that run first; the list is asked for each second while one runs.

import { ask } from "./api.js";
import { element, empty, fill, panel } from "./dom.js";
import { count, plural } from "./format.js";
import { field, input, part } from "./live.js";
import { migrationRow } from "./migrations.js";

const MOST = 200;
const LIST_MS = 1000;
const TYPING_MS = 200;

export function open(page) {
  const name = input("order_param", { type: "search", value: page.query.get("order_param") ?? "", placeholder: "its whole name" });
  const active = element("input", { type: "checkbox", name: "active", id: "only-active" });
  const filters = element("form", { class: "filters", role: "search" }, field("Order param", name),
    element("div", { class: "check" }, active, element("label", { for: "only-active" }, "only those that run")));
  const [box, body, aside] = panel("Newest first");
  const list = element("ol", { class: "migrations", id: "migrations", "aria-label": "Migrations" });
  page.root.append(page.heading("Migrations", filters), box);

  const asked = () => ({ limit: MOST, order_param: name.value, active: active.checked ? "true" : undefined });
  const refresh = part(page.signal, body, LIST_MS, () => ask("migrations", asked()), ({ items, looked_at: lookedAt, complete }) => {
    const running = items.filter((each) => !each.finished);
    const filtered = name.value || active.checked;
    const older = complete ? "" : filtered ? ` of the last ${count(lookedAt)}` : ", there are older ones";
    aside.textContent = `${plural(items.length, "migration")} shown${older}, ${running.length} running; wall time in UTC`;
    if (!items.length) {
      return fill(body, empty(filtered ? "None fits." : "None yet. A migration appears here as soon as a planned move is admitted."));
    }
    fill(list, [...running, ...items.filter((each) => each.finished)].map(migrationRow));
    return list.isConnected || fill(body, list);
  });
  let typing = 0;
  name.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(refresh, TYPING_MS); });
  active.addEventListener("change", refresh);
  filters.addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
}

// Who did what, when, and what became of it; newest first, with the whole log to take away.

import { address } from "./api.js";
import { element, link, panel, table } from "./dom.js";
import { momentTime } from "./format.js";
import { field, input } from "./live.js";
import { utcOf } from "./form_lines.js";
import { pagedList } from "./paged.js";

const PAGE = 100;

const COLUMNS = [
  { label: "When, UTC", nowrap: true, head: true, cell: (each) => momentTime(each.at) },
  { label: "Who", cell: (each) => (each.role ? `${each.who} (${each.role})` : each.who) },
  { label: "What", nowrap: true, cell: (each) => element("span", { class: "mono" }, each.action) },
  { label: "Of", ids: true, cell: (each) => each.target },
  { label: "Outcome", cell: (each) => each.outcome },
  { label: "Detail", text: true, cell: (each) => each.detail },
];

export function open(page) {
  const who = input("who", { type: "search", value: page.query.get("who") ?? "" });
  const what = input("action", { type: "search", placeholder: "migration, or migration.start", value: page.query.get("action") ?? "" });
  const since = input("since", { type: "datetime-local" });
  const filters = element("form", { class: "filters", role: "search" }, field("Who", who), field("What", what), field("Since, UTC", since),
    element("button", { type: "submit" }, "Show"));
  const [box, body, aside] = panel("Newest first");
  const whole = link(address("audit:export"), "Take it all as NDJSON", { class: "button", download: "audit.ndjson" });
  page.root.append(page.heading("Audit log", whole), filters, box);
  const reload = pagedList({
    body, aside, signal: page.signal, path: "audit",
    parameters: () => ({ limit: PAGE, who: who.value.trim(), action: what.value.trim(), since: utcOf(since.value) }),
    draw: (items) => table("Audit log", COLUMNS, items),
    none: "Nothing fits. What people and the balancer do appears here.",
  });
  filters.addEventListener("submit", (event) => { event.preventDefault(); reload(); });
  reload();
}

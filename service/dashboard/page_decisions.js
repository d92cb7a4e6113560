// What was decided at each tick, newest first.

import { element, link, panel, pill, table } from "./dom.js";
import { count, momentTime, plural, words } from "./format.js";
import { field, select } from "./live.js";
import { utcOf } from "./form_lines.js";
import { nameField } from "./name_input.js";
import { pagedList } from "./paged.js";
import { PLAN_TONES } from "./plans.js";

const PAGE = 50;
const ADMISSIONS = [
  "admitted", "dry_run", "mode_forbids", "plan_refused", "paused", "awaits_approval", "deferred", "not_worth_it", "tick_budget",
  "hour_budget", "shard_budget", "destination_full", "waits_for_wave"];

export const decisionHref = (number) => `#/decisions/${number}`;

// The first note; the page of the decision has them all.
function notes({ faults, notes: others }) {
  const [first, ...more] = [...faults, ...others];
  return more.length ? `${first}, and ${plural(more.length, "more note")}` : first ?? "";
}

const COLUMNS = [
  { label: "Tick", head: true, cell: (each) => link(decisionHref(each.number), count(each.number), { "data-key": `decision ${each.number}` }) },
  { label: "At, UTC", nowrap: true, cell: (each) => momentTime(each.at) },
  { label: "Mode", cell: (each) => words(each.mode) },
  { label: "Made on", cell: (each) => words(each.basis) },
  { label: "Plan", cell: (each) => pill(words(each.status), PLAN_TONES[each.status]) },
  { label: "Moves", number: true, cell: (each) => count(each.moves.length) },
  { label: "Sent", number: true, cell: (each) => count(each.sent) },
  { label: "Notes", text: true, cell: notes },
];

export function open(page) {
  const name = nameField("Order param", "order_param", { type: "search", required: false, value: page.query.get("order_param") ?? "" });
  const admission = select("admission", [["", "any"], ...ADMISSIONS.map((code) => [code, words(code)])]);
  const since = element("input", { type: "datetime-local", name: "since" });
  const moves = element("input", { type: "checkbox", id: "with-moves", checked: true });
  const filters = element("form", { class: "filters", role: "search" }, name, field("What became of a move", admission), field("Since, UTC", since),
    element("div", { class: "check" }, moves, element("label", { for: "with-moves" }, "only with moves")), element("button", { type: "submit" }, "Show"));
  const [box, body, aside] = panel("Newest first");
  page.root.append(page.heading("Decisions"), filters, box);
  const reload = pagedList({
    body, aside, signal: page.signal, path: "decisions",
    parameters: () => ({
      limit: PAGE, order_param: name.querySelector("input").value, admission: admission.value, since: utcOf(since.value), moves: moves.checked }),
    draw: (items) => table("Decisions", COLUMNS, items),
    none: "None fits. Each tick decides once, and most need no move: take the tick off \"only with moves\" to see those.",
  });
  filters.addEventListener("submit", (event) => { event.preventDefault(); reload(); });
  for (const control of [admission, moves]) control.addEventListener("change", reload);
  reload();
}

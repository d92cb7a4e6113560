// What moves promised beside what came of them.

import { element, link, orderParamLink, pill, table } from "./dom.js";
import { UNKNOWN, duration, fixed, momentTime, percent, words } from "./format.js";
import { migrationHref } from "./migrations.js";

const TONES = { settled: "good", pending: "idle", rolled_back: "bad", moved_on: "idle", unknown: "warn" };

// "from → to", and below what was promised of the same.
function pair(came, promised) {
  return element("span", {}, came, element("br"), element("span", { class: "hint" }, `promised ${promised}`));
}

const change = (before, after) => `${percent(before)} → ${percent(after)}`;

export function effectsTable(effects, none) {
  return table("Promised and realised", [
    { label: "Order param", head: true, cell: (each) => orderParamLink(each.order_param) },
    { label: "Way", nowrap: true, cell: (each) => link(migrationHref(each.migration_id), `${each.source} → ${each.destination}`, { "aria-label": `${each.source} → ${each.destination}: migration of ${each.order_param}` }) },
    { label: "Sent", nowrap: true, cell: (each) => momentTime(each.at) },
    { label: "State", cell: (each) => pill(words(each.state), TONES[each.state]) },
    { label: "Overload taken away", nowrap: true, cell: (each) => pair(each.realised.steps ? duration(Math.max(0, each.realised.taken_s)) : UNKNOWN, duration(each.promised.taken_s)) },
    { label: "Source", nowrap: true, cell: (each) => pair(each.realised.steps ? change(each.realised.source_without, each.realised.source) : UNKNOWN, change(each.promised.source_before, each.promised.source_after)) },
    { label: "Destination", nowrap: true, cell: (each) => pair(each.realised.steps ? percent(each.realised.destination) : UNKNOWN, change(each.promised.destination_before, each.promised.destination_after)) },
    { label: "Took", nowrap: true, cell: (each) => pair(duration(each.realised.duration_s), each.promised.duration_s ? duration(each.promised.duration_s) : UNKNOWN) },
    { label: "Paused", nowrap: true, cell: (each) => (each.realised.pause_ms === null ? UNKNOWN : `${fixed(each.realised.pause_ms, 1)} ms`) },
    { label: "Why", text: true, cell: (each) => each.why },
  ], effects, none);
}

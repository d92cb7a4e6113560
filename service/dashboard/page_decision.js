// One decision with all that was written down of it: what it was made from, what was planned, what became of each move.

import { ask } from "./api.js";
import { drawBars } from "./charts.js";
import { element, empty, fill, panel, pill, table, terms } from "./dom.js";
import { count, dateTime, duration, minuteTime, percent, plural, words } from "./format.js";
import { effectsTable } from "./effects.js";
import { part } from "./live.js";
import { loadsView } from "./loads.js";
import { PLAN_TONES, changeCards, moveRow, planMeasures, planNotes } from "./plans.js";

const REFRESH_MS = 10_000;
const BARS_MOST = 40;

const some = ({ some: names, count: all }) => (all ? `${names.join(", ")}${all > names.length ? `, and ${count(all - names.length)} more` : ""}` : "none");

function orders(given) {
  return terms(["paused", given.paused ? "yes" : "no"], ["approval needed", given.approval ? "yes" : "no"], ["pinned", some(given.pinned)],
    ["forbidden", some(given.forbidden)], ["draining", some(given.draining)], ["filling", some(given.filling)], ["spread groups", count(given.spread_groups)]);
}

function memory(known) {
  return terms(["sent in the last hour", count(known.sent_last_hour)], ["cooling down", some(known.cooling)],
    ["the forecast had held", known.forecast_trusted ? "yes" : "no"],
    ["realised of what was promised", percent(known.ratio)], ["a move has cost", duration(known.move_cost_s)],
    ["brought back", `${count(known.returns)} of ${count(known.moves)} moves`]);
}

function shardsTable(shards) {
  return table("Shards as they were seen", [
    { label: "Shard", head: true, cell: (each) => each.shard_id },
    { label: "Measured", number: true, cell: (each) => percent(each.now) },
    { label: "Highest planned with", number: true, cell: (each) => percent(each.peak) },
    { label: "At, UTC", number: true, cell: (each) => minuteTime(each.peak_at) },
  ], shards);
}

// The load that a decision saw, shard by shard: [chart, function that draws it].
function seenLoad(inputs) {
  const shards = inputs.shards.slice(0, BARS_MOST);
  const worst = inputs.shards[0];
  const label = worst ? `Load of the ${plural(shards.length, "fullest shard")} before the decision; ${worst.shard_id} at ${percent(worst.now)}, up to ${percent(worst.peak)} planned with` : "No shards";
  const chart = element("div", { class: "chart tall", role: "img", "aria-label": label });
  const names = shards.map((each) => each.shard_id);
  const bars = [["measured", shards.map((each) => each.now), "headroom"], ["highest planned with", shards.map((each) => each.peak), "load"]];
  return [chart, () => drawBars(chart, names, bars, inputs.headroom)];
}

const loadLegend = () => element("ul", { class: "legend", "aria-label": "Legend of the chart" },
  [["before", "measured"], ["after", "highest planned with"], ["headroom", "headroom"], ["capacity", "capacity"]].map(([kind, text]) =>
    element("li", {}, element("i", { class: `key key-${kind}` }), text)));

function inputsOf(inputs) {
  if (!inputs) return [[empty("This decision was made by an earlier release, which did not write this down.")], () => {}];
  const [chart, draw] = seenLoad(inputs);
  const nodes = [
    terms(["measured until", dateTime(inputs.step_end)], ["order params", count(inputs.order_params)], ["headroom", percent(inputs.headroom)],
      ["level", inputs.level === null ? "–" : `p${Math.round(inputs.level * 100)}`], ["steps planned on", count(inputs.steps)],
      ["a migration lasts", duration(inputs.lead_s)], ["silent shards", some(inputs.silent)], ["moving already", some(inputs.moving)]),
    loadLegend(), chart,
    element("details", {}, element("summary", {}, "The same in figures"), shardsTable(inputs.shards),
      inputs.shards_left_out ? element("p", { class: "why" }, `${plural(inputs.shards_left_out, "more shard")}, all below ${percent(inputs.shards_left_out_peak)}`) : null),
    element("h3", { class: "more" }, "Orders in force"), orders(inputs.orders),
    element("h3", { class: "more" }, "What was remembered"), memory(inputs.memory),
  ];
  return [nodes, draw];
}

const movedRow = (move) => moveRow({ ...move, reason: `${move.reason}${move.admission === "admitted" ? "" : `; ${move.admission_words}`}` });

export function open(page) {
  const [number] = page.args;
  const [loads, showLoads] = loadsView();
  const [whatPanel, what, aside] = panel("Decided");
  const [effectPanel, effects] = panel("Promised, and what came of it");
  const [fromPanel, from] = panel("Made from");
  page.root.append(page.heading(`Decision of tick ${number}`), whatPanel, effectPanel, fromPanel);
  part(page.signal, what, REFRESH_MS, () => ask(`decisions/${encodeURIComponent(number)}`), (decision) => {
    fill(aside, pill(words(decision.status), PLAN_TONES[decision.status]), ` ${dateTime(decision.at)}, mode ${words(decision.mode)}, made on the ${words(decision.basis)}`);
    showLoads(decision.loads);
    fill(what, planMeasures(decision), ...planNotes(decision),
      loads, decision.moves.length ? [changeCards(decision.moves, decision.loads), element("ul", { class: "rows" }, decision.moves.map(movedRow))] : empty("Nothing had to move."));
    fill(effects, effectsTable(decision.effects, "No move was sent."));
    const [nodes, draw] = inputsOf(decision.inputs);
    fill(from, nodes);
    draw();
  });
}

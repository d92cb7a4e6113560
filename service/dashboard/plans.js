// A plan as people review it: measures, notes, moves with reasons, and what it changes shard by shard.

import { element, note, orderParamLink, pill, terms, way } from "./dom.js";
import { count, duration, minuteTime, percent, plural, words } from "./format.js";
import { shardInWords } from "./loads.js";

export const PLAN_TONES = { not_needed: "good", optimal: "good", feasible: "idle", partial: "warn", refused: "bad" };
const ADMISSION_TONES = { admitted: "good", plan_refused: "bad" };

export function moveRow(move) {
  const notes = [
    move.wave > 1 ? `wave ${move.wave}` : "",
    move.via ? `by way of ${move.via} in wave ${move.via_wave}` : "",
    move.segment ? `segment ${move.segment}` : "",
  ].filter(Boolean);
  return element("li", {},
    element("div", { class: "row-head" },
      orderParamLink(move.order_param), way(move.source, move.destination),
      notes.length ? element("span", { class: "mode" }, notes.join(", ")) : null,
      move.admission ? pill(words(move.admission), ADMISSION_TONES[move.admission]) : null),
    element("p", { class: "why" }, move.reason));
}

export function planMeasures(plan) {
  const sources = Object.entries(plan.sources ?? {}).map(([name, number]) => `${count(number)} ${words(name)}`);
  return terms(
    ["moves", count(plan.moves.length)],
    ["cost / proven bound", `${plan.cost.toFixed(1)} / ${plan.bound.toFixed(1)}`],
    ["gap", percent(plan.cost > plan.bound ? (plan.cost - plan.bound) / plan.cost : 0)],
    ["overload, shards × steps", `${plan.overload_before.toFixed(2)} → ${plan.overload_after.toFixed(2)}`],
    plan.moves.length ? ["highest load after", percent(plan.max_utilisation)] : null,
    plan.broken_before || plan.broken_after ? ["rules broken", `${plan.broken_before} → ${plan.broken_after}`] : null,
    sources.length ? ["forecasts by", sources.join(", ")] : null);
}

export const planNotes = (plan) => [
  ...(plan.faults ?? []).map((text) => note(text, "bad")), ...plan.unresolved.map((text) => note(text)), ...(plan.notes ?? []).map((text) => note(text, "idle"))];
export const planAside = (plan) => [
  pill(words(plan.status), PLAN_TONES[plan.status]), ` tick ${plan.number}, ${minuteTime(plan.at)} UTC, ${duration(plan.tick_s)}`];

// What leaves and what comes to each shard that a plan touches: [{ shard, leaves, comes }].
export function shardChanges(moves) {
  const changes = new Map();
  const of = (shard) => changes.get(shard) ?? changes.set(shard, { shard, leaves: [], comes: [] }).get(shard);
  for (const move of moves) {
    if (move.source) of(move.source).leaves.push(move.order_param);
    of(move.destination).comes.push(move.order_param);
  }
  return [...changes.values()].sort((a, b) => a.shard.localeCompare(b.shard, "en", { numeric: true }));
}

const NAMES_SHOWN = 30;

function changeList(names, sign, className, spoken) {
  const shown = names.slice(0, NAMES_SHOWN).map((name) => element("li", {},
    element("span", { class: className, "aria-hidden": "true" }, sign), element("span", { class: "unseen" }, spoken), element("span", {}, name)));
  const left = names.length - NAMES_SHOWN;
  return left > 0 ? [...shown, element("li", {}, `and ${count(left)} more`)] : shown;
}

export function changeCards(moves, loads) {
  return element("div", { class: "diff" }, shardChanges(moves).map((change) => element("div", {},
    element("h3", {}, change.shard),
    loads ? element("p", { class: "load-line" }, shardInWords(loads, change.shard)) : null,
    element("p", { class: "why" }, [
      change.leaves.length ? `${plural(change.leaves.length, "order param leaves", "order params leave")}` : "",
      change.comes.length ? `${plural(change.comes.length, "order param comes", "order params come")}` : ""].filter(Boolean).join(", ")),
    element("ul", {}, changeList(change.leaves, "−", "minus", "leaves: "), changeList(change.comes, "+", "plus", "comes: ")))));
}

const keyOf = (move) => JSON.stringify([move.order_param, move.source, move.destination, move.segment ?? 0]);

// How another plan differs from this one: [moves only here, moves only there, moves in both].
export function planDifference(here, there) {
  const before = new Set(here.map(keyOf));
  const after = new Set(there.map(keyOf));
  return [here.filter((move) => !after.has(keyOf(move))), there.filter((move) => !before.has(keyOf(move))), here.filter((move) => after.has(keyOf(move)))];
}

// Plan, migrations and mapping: lists drawn anew only when their data change.

import { clockTime, count, duration, element, minuteTime, percent, pill, secondsBetween, term, whenChanged, words } from "./format.js";

const $ = (id) => document.getElementById(id);
const STEPS = ["prepare", "precopied", "paused", "sealing", "sealed", "activating", "mapped", "done"];
const PAUSING = new Set(["paused", "sealing", "sealed", "activating"]);
const PLAN_TONES = { not_needed: "good", optimal: "good", feasible: "idle", partial: "warn", refused: "bad" };
const ADMISSION_TONES = { admitted: "good", plan_refused: "bad" };

const way = (move) => element("span", { class: "way" }, `${move.source} → ${move.destination}`);

function moveRow(move) {
  return element("li", {},
    element("div", { class: "row-head" },
      element("span", { class: "name" }, move.order_param), way(move),
      pill(words(move.admission), ADMISSION_TONES[move.admission])),
    element("p", { class: "why" }, move.reason));
}

function measures(plan) {
  const sources = Object.entries(plan.sources).map(([name, number]) => `${count(number)} ${words(name)}`);
  return element("dl", { class: "measures" },
    term("moves", count(plan.moves.length)),
    term("cost / proven bound", `${plan.cost.toFixed(1)} / ${plan.bound.toFixed(1)}`),
    term("gap", percent(plan.gap)),
    term("overload", `${plan.overload_before.toFixed(2)} → ${plan.overload_after.toFixed(2)}`),
    term("forecasts by", sources.join(", ") || "–"));
}

export const drawPlan = whenChanged((plan, mode) => {
  if (!plan) {
    const why = mode === "static" ? "In mode static the balancer only observes and makes no plans." : "No plan yet. The first one follows the first forecast.";
    $("plan").replaceChildren(element("p", { class: "empty" }, why));
    $("plan-aside").replaceChildren();
    return;
  }
  $("plan-aside").replaceChildren(pill(words(plan.status), PLAN_TONES[plan.status]), ` tick ${plan.number}, ${minuteTime(plan.at)} UTC, ${duration(plan.tick_s)}`);
  const faults = plan.faults.map((text) => element("p", { class: "note", "data-tone": "bad" }, text));
  const unresolved = plan.unresolved.map((text) => element("p", { class: "note" }, text));
  const moves = plan.moves.length
    ? element("ul", { class: "rows" }, ...plan.moves.map(moveRow))
    : element("p", { class: "empty" }, "Nothing to move: no shard is foreseen over its headroom.");
  $("plan").replaceChildren(measures(plan), ...faults, ...unresolved, moves);
});

function copied(migration) {
  if (migration.mode === "chain") return "backlog stays";
  const text = `${count(migration.messages_copied)} copied`;
  if (migration.finished || !migration.lag_messages) return text;
  const share = migration.messages_copied / (migration.messages_copied + migration.lag_messages);
  return migration.eta_s === null ? `${text}, ${percent(share)}` : `${text}, ${percent(share)}, ${duration(migration.eta_s)} left`;
}

function paused(migration) {
  if (migration.pause_ms !== null) return `paused ${duration(migration.pause_ms / 1000)}`;
  return PAUSING.has(migration.step) ? "paused now" : "not paused";
}

function migrationRow(migration) {
  const passed = migration.step === "aborted" ? STEPS.length : STEPS.indexOf(migration.step) + 1;
  const tone = { done: "good", aborted: "bad" }[migration.step];
  const took = migration.finished_at ? ` · ${duration(secondsBetween(migration.started_at, migration.finished_at))}` : "";
  return element("li", { "data-tone": tone, "data-migration": migration.migration_id },
    element("div", { class: "row-head" },
      element("span", { class: "name" }, migration.order_param), way(migration),
      migration.mode === "chain" ? element("span", { class: "mode" }, "chained") : null,
      element("span", { class: "when" }, `${clockTime(migration.started_at)}${took}`)),
    element("div", { class: "progress" },
      element("span", { class: "steps", "aria-hidden": "true" }, ...STEPS.map((_, row) => element("i", { class: row < passed ? "passed" : null }))),
      element("b", {}, migration.step === "aborted" ? "rolled back" : migration.step),
      element("span", { class: "figure" }, copied(migration)),
      element("span", { class: "figure" }, paused(migration))),
    migration.error ? element("p", { class: "why" }, migration.error) : null);
}

export const drawMigrations = whenChanged((migrations) => {
  const none = [element("li", { class: "empty" }, "None yet. A migration appears here as soon as a planned move is admitted.")];
  $("migrations").replaceChildren(...(migrations.length ? migrations.map(migrationRow) : none));
});

function mappingRow(allocation) {
  const name = element("button", { type: "button", "data-order-param": allocation.order_param, title: "Show its forecast" }, allocation.order_param);
  const shards = allocation.shards.flatMap((shard, row) => (row ? [element("span", { class: "chain" }, " then "), shard] : [shard]));
  return element("tr", {}, element("td", {}, name), element("td", {}, ...shards), element("td", { class: "number" }, count(allocation.epoch)));
}

export const drawMapping = whenChanged((page, filtered) => {
  const focused = document.activeElement?.dataset?.orderParam;
  const text = filtered ? "No order param fits." : "No order params yet.";
  const none = [element("tr", {}, element("td", { colspan: 3, class: "empty" }, text))];
  $("mapping").replaceChildren(...(page.items.length ? page.items.map(mappingRow) : none));
  const all = page.items.length === page.total;
  $("mapping-count").textContent = all ? `${count(page.total)} order params` : `${count(page.items.length)} of ${count(page.total)} order params`;
  $("more").hidden = all;
  if (focused !== undefined) $("mapping").querySelector(`button[data-order-param="${CSS.escape(focused)}"]`)?.focus();
});

export const drawShardFilter = whenChanged((shardIds) => {
  const chosen = $("shard-filter").value;
  const options = shardIds.map((shardId) => element("option", { value: shardId }, shardId));
  $("shard-filter").replaceChildren(element("option", { value: "" }, "all shards"), ...options);
  $("shard-filter").value = shardIds.includes(chosen) ? chosen : "";
});

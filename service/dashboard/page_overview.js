// The whole at a glance: figures, shards with load now, forecast and capacity, the latest plan, recent migrations.

import { ask } from "./api.js";
import { element, empty, link, panel, fill, whenChanged } from "./dom.js";
import { count, duration, percent, plural, rate, secondsBetween } from "./format.js";
import { repeat } from "./live.js";
import { migrationRow } from "./migrations.js";
import { moveRow, planAside, planMeasures, planNotes } from "./plans.js";
import { condition, shardCards } from "./shards.js";

const MIGRATIONS_SHOWN = 30;
const MIGRATIONS_MS = 1000;
const MOVES_SHOWN = 8;
const NOTES_SHOWN = 3;

const sum = (shards, field) => shards.reduce((total, shard) => total + shard[field], 0);

function cell(name, value, unit, tone) {
  return element("div", { "data-tone": tone }, element("dt", {}, name), element("dd", {}, value, unit ? element("small", {}, unit) : null));
}

function congestionCell(status) {
  const over = status.shards.filter((shard) => condition(shard, status.at)[0] === "over capacity");
  if (over.length) return cell("over capacity", over.map((shard) => shard.shard_id).slice(0, 2).join(", "), null, "bad");
  const next = status.shards.filter((shard) => shard.congestion_at).sort((a, b) => Date.parse(a.congestion_at) - Date.parse(b.congestion_at))[0];
  if (!next) return cell("next congestion", "none", "foreseen");
  const left = Math.max(0, secondsBetween(status.at, next.congestion_at));
  return cell("next congestion", left ? `in ${duration(left)}` : "now", next.shard_id, "warn");
}

function overviewCells(status) {
  const silent = status.shards.filter((shard) => shard.error).length;
  const working = status.shards.filter((shard) => !shard.error);
  const oldest = Math.max(0, ...working.map((shard) => shard.oldest_age_s));
  return [
    cell("shards", count(status.shards.length), silent ? `${silent} not answering` : null, silent ? "bad" : null),
    cell("order params", count(status.order_params)),
    cell("arriving", rate(sum(working, "arrival_messages_per_s")), "messages/s"),
    cell("backlog", count(sum(working, "backlog")), `oldest ${duration(oldest)}`),
    congestionCell(status),
    cell("migrations", count(status.migrations_done), `done, ${status.migrations_active} active, ${status.migrations_rolled_back} rolled back`),
  ];
}

function trainingBars(training) {
  return training.filter((each) => each.fraction < 1 || each.failed).map((each) => element("label", {},
    `training ${each.horizon}`, element("progress", { max: 1, value: each.fraction }),
    `${percent(each.fraction)}, ${each.done} of ${each.total} networks${each.failed ? `, ${each.failed} failed` : ""}`,
    each.message ? element("span", {}, each.message) : null));
}

function legend() {
  const level = element("span", { id: "level" }, "p90");
  const entry = (kind, ...text) => element("li", {}, element("i", { class: `key key-${kind}` }), element("span", {}, ...text));
  return [element("ul", { class: "legend", "aria-label": "Legend of the charts" },
    entry("load", "load"), entry("band", "forecast, median to ", level), entry("headroom", "headroom"), entry("capacity", "capacity")), level];
}

// A plan exists as soon as there are forecasts, except in mode static; asking earlier would only be refused.
const planExpected = (status) => status.mode !== "static" && status.shards.some((shard) => Object.keys(shard.bands).length);

function drawPlan(body, aside, plan, mode) {
  if (!plan) {
    const why = mode === "static" ? "In mode static the balancer only observes and makes no plans." : "No plan yet. The first one follows the first forecast.";
    fill(body, empty(why));
    fill(aside);
    return;
  }
  fill(aside, ...planAside(plan));
  const left = plan.moves.length - MOVES_SHOWN;
  const moves = plan.moves.length
    ? element("ul", { class: "rows" }, plan.moves.slice(0, MOVES_SHOWN).map(moveRow))
    : empty("Nothing to move: no shard's expected load is over its headroom.");
  const more = left > 0 ? `Review all ${count(plan.moves.length)} moves` : "Review this plan";
  const notes = planNotes(plan);
  const others = notes.length > NOTES_SHOWN ? element("p", { class: "why" }, `and ${plural(notes.length - NOTES_SHOWN, "more note")}`) : null;
  fill(body, planMeasures(plan), ...notes.slice(0, NOTES_SHOWN), others, moves, element("p", { class: "more" }, link("#/plans/latest", more, { "data-key": "review" })));
}

export function open(page) {
  const figures = element("dl", { class: "overview", id: "overview" });
  const training = element("div", { class: "training", id: "training" });
  const [keys, level] = legend();
  const grid = element("div", { class: "shards", id: "shards" }, empty("Waiting for the first answer of the service."));
  const more = element("p", { class: "more" });
  const [planPanel, plan, planSide] = panel("Latest plan");
  plan.id = "plan";
  const [migrationsPanel, migrations, migrationsSide] = panel("Migrations");
  page.root.append(
    page.heading("Overview"),
    element("section", { "aria-label": "Figures" }, figures, training),
    element("section", { "aria-labelledby": "shards-title" },
      element("div", { class: "section-head" }, element("h2", { id: "shards-title" }, "Shards"), keys), grid, more),
    element("div", { class: "columns" }, planPanel, migrationsPanel));

  const drawFigures = whenChanged((status) => fill(figures, ...overviewCells(status)));
  const drawTraining = whenChanged((each) => { training.hidden = !each.some((one) => one.fraction < 1 || one.failed); fill(training, ...trainingBars(each)); });
  const drawShards = shardCards(grid, more);
  const drawLatest = whenChanged((latest, mode) => drawPlan(plan, planSide, latest, mode));
  const known = { tick: null, plan: null };

  async function refreshPlan(status) {
    const expected = planExpected(status);
    if (expected && known.tick !== status.ticks) {
      known.tick = status.ticks;
      known.plan = await ask("plans/latest").catch(() => known.plan);
    }
    if (!page.signal.aborted) drawLatest(expected ? known.plan : null, status.mode);
  }

  page.onStatus((status) => {
    level.textContent = `p${Math.round(status.level * 100)}`;
    drawFigures({ ...status, shards: status.shards.map(({ bands, history, history_at: at, ...shard }) => shard) });
    drawTraining(status.training);
    drawShards(status);
    refreshPlan(status);
  });

  const list = element("ol", { class: "migrations short", id: "migrations", tabindex: "0", "aria-label": "Recent migrations" });
  migrations.append(list);
  const drawMigrations = whenChanged((items) => {
    fill(list, ...(items.length ? items.map(migrationRow) : [element("li", { class: "empty" }, "None yet. A migration appears here as soon as a planned move is admitted.")]));
    fill(migrationsSide, items.length ? "newest first, wall time in UTC" : "");
  });
  repeat(page.signal, MIGRATIONS_MS, async () => drawMigrations((await ask("migrations", { limit: MIGRATIONS_SHOWN })).items));
}

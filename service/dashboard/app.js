// Asks the API each second, draws what has changed, and says so plainly when there is no answer. Uses /v1/* only.

import { drawForecast } from "./charts.js";
import { drawHead } from "./head.js";
import { drawMapping, drawMigrations, drawPlan, drawShardFilter } from "./panels.js";
import { shardCards } from "./shards.js";

const POLL_MS = 1000;
const BACKOFF_MAX_MS = 15_000;
const TIMEOUT_MS = 8000;
const MIGRATIONS_SHOWN = 40;
const ROWS_STEP = 100;
const ROWS_MAX = 1000;

const $ = (id) => document.getElementById(id);
const drawShards = shardCards($("shards"));
const view = { rows: ROWS_STEP, status: null, tick: null, plan: null, failures: 0, timer: 0, orderParam: null };

// Returns the JSON of an answer; throws an Error with the sentence of the problem document.
async function ask(path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  const response = await fetch(`../v1/${path}${query.size ? `?${query}` : ""}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `the service answered ${response.status}`);
  return body;
}

function mappingQuery() {
  const parameters = { limit: view.rows, contains: $("search").value };
  if ($("shard-filter").value) parameters.shard = $("shard-filter").value;
  return parameters;
}

async function refreshMapping() {
  const parameters = mappingQuery();
  drawMapping(await ask("allocations", parameters), Boolean(parameters.contains || parameters.shard));
}

// A plan exists as soon as there are forecasts, except in mode static; asking earlier would only be refused.
async function refreshPlan(status) {
  const expected = status.mode !== "static" && status.shards.some((shard) => Object.keys(shard.bands).length);
  if (expected && view.tick !== status.ticks) view.plan = await ask("plans/latest").catch(() => view.plan);
  view.tick = status.ticks;
  drawPlan(expected ? view.plan : null, status.mode);
}

async function refresh() {
  const [status, migrations] = await Promise.all([ask("status"), ask("migrations", { limit: MIGRATIONS_SHOWN })]);
  view.status = status;
  drawHead(status);
  drawShards(status);
  drawShardFilter(status.shards.map((shard) => shard.shard_id));
  drawMigrations(migrations.items);
  $("migrations-aside").textContent = migrations.items.length ? "newest first, wall time in UTC" : "";
  await Promise.all([refreshPlan(status), refreshMapping()]);
}

function showTrouble(text, tone = "bad") {
  const noAnswer = Boolean(text) && tone === "bad";
  $("connection").hidden = !noAnswer;
  $("connection").dataset.tone = "bad";
  $("connection").textContent = "no answer";
  document.body.classList.toggle("stale", noAnswer && view.status !== null);
  $("banner").hidden = !text;
  $("banner").dataset.tone = tone;
  if ($("banner").textContent !== text) $("banner").textContent = text;
}

function delayMs() {
  return view.failures ? Math.min(BACKOFF_MAX_MS, POLL_MS * 2 ** view.failures) : POLL_MS;
}

async function poll() {
  clearTimeout(view.timer);
  try {
    await refresh();
    view.failures = 0;
    showTrouble(view.status.last_error ? `The last tick reported: ${view.status.last_error}` : "", "warn");
  } catch (error) {
    view.failures += 1;
    const unreachable = error instanceof TypeError || error.name === "TimeoutError";
    const why = unreachable ? "the service does not answer; check that `plb serve` runs" : error.message;
    showTrouble(`No fresh figures: ${why}. Trying again every ${Math.round(delayMs() / 1000)} s.`);
    console.info(error);
  }
  if (!document.hidden) view.timer = setTimeout(poll, delayMs());
}

// ---- one order param

async function drawDetail() {
  const horizon = document.querySelector("input[name=horizon]:checked").value;
  const history = { short: 48, medium: 288 }[horizon];
  const name = view.orderParam;
  try {
    const forecast = await ask(`forecasts/${encodeURIComponent(name)}`, { horizon, history_steps: history });
    if (name !== view.orderParam) return;
    $("detail-chart").hidden = false;
    drawForecast($("detail-chart"), forecast);
    $("detail-chart").setAttribute("aria-label", `Arrival rate of ${name}: observed, and forecast with its quantiles`);
    const levels = forecast.levels.map((level) => `p${Math.round(level * 100)}`).join(", ");
    $("detail-note").textContent = `Forecast by ${forecast.source.replaceAll("_", " ")}; bands from ${levels}.`;
  } catch (error) {
    $("detail-chart").hidden = true;
    $("detail-note").textContent = error.message;
  }
}

// The address names the order param that is shown, so that it can be sent to somebody.
function openDetail() {
  const prefix = "#order-param=";
  if (!location.hash.startsWith(prefix)) return $("detail").close();
  view.orderParam = decodeURIComponent(location.hash.slice(prefix.length));
  $("detail-title").textContent = view.orderParam;
  $("detail-note").textContent = "";
  if (!$("detail").open) $("detail").showModal();
  return drawDetail();
}

// ---- what people do

let typing = 0;
const mappingSoon = () => { clearTimeout(typing); typing = setTimeout(() => refreshMapping().catch(console.info), 150); };

$("filters").addEventListener("submit", (event) => event.preventDefault());
$("search").addEventListener("input", () => { view.rows = ROWS_STEP; mappingSoon(); });
$("shard-filter").addEventListener("change", () => { view.rows = ROWS_STEP; mappingSoon(); });
$("more").addEventListener("click", () => { view.rows = Math.min(ROWS_MAX, view.rows + ROWS_STEP); mappingSoon(); });
$("mapping").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-order-param]");
  if (button) location.hash = `order-param=${encodeURIComponent(button.dataset.orderParam)}`;
});
window.addEventListener("hashchange", openDetail);
$("detail").addEventListener("close", () => { if (location.hash) history.replaceState(null, "", location.pathname); });
for (const choice of document.querySelectorAll("input[name=horizon]")) choice.addEventListener("change", drawDetail);
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (view.status) drawShards(view.status, { redraw: true });
  if ($("detail").open) drawDetail();
});

document.addEventListener("DOMContentLoaded", () => { poll(); openDetail(); });

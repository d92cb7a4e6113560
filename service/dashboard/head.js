// The header and the overview strip, and what a screen reader is told when the state changes.

import { condition } from "./shards.js";
import { count, dateTime, duration, element, percent, pill, rate, secondsBetween, whenChanged, words } from "./format.js";

const $ = (id) => document.getElementById(id);
const MODE_TONES = { predictive: "good", forecast_only: "warn", static: "idle" };

const sum = (shards, field) => shards.reduce((total, shard) => total + shard[field], 0);

function cell(name, value, unit, tone) {
  const small = unit ? element("small", {}, unit) : null;
  return element("div", { "data-tone": tone }, element("dt", {}, name), element("dd", {}, value, ...(small ? [small] : [])));
}

function congestionCell(status) {
  const over = status.shards.filter((shard) => condition(shard, status.at)[0] === "over capacity");
  if (over.length) return cell("over capacity", over.map((shard) => shard.shard_id).slice(0, 2).join(", "), null, "bad");
  const next = status.shards.filter((shard) => shard.congestion_at).sort((a, b) => Date.parse(a.congestion_at) - Date.parse(b.congestion_at))[0];
  if (!next) return cell("next congestion", "none", "foreseen");
  const left = Math.max(0, secondsBetween(status.at, next.congestion_at));
  return cell("next congestion", left ? `in ${duration(left)}` : "now", next.shard_id, "warn");
}

const drawOverview = whenChanged((status) => {
  const silent = status.shards.filter((shard) => shard.error).length;
  const working = status.shards.filter((shard) => !shard.error);
  const oldest = Math.max(0, ...working.map((shard) => shard.oldest_age_s));
  $("overview").replaceChildren(
    cell("shards", count(status.shards.length), silent ? `${silent} not answering` : null, silent ? "bad" : null),
    cell("order params", count(status.order_params)),
    cell("arriving", rate(sum(working, "arrival_messages_per_s")), "messages/s"),
    cell("backlog", count(sum(working, "backlog")), `oldest ${duration(oldest)}`),
    congestionCell(status),
    cell("migrations", count(status.migrations_done), `done, ${status.migrations_active} active, ${status.migrations_rolled_back} rolled back`));
});

const drawTraining = whenChanged((training) => {
  const open = training.filter((each) => each.fraction < 1 || each.failed);
  $("training").hidden = !open.length;
  $("training").replaceChildren(...open.map((each) => element("label", {},
    `training ${each.horizon}`, element("progress", { max: 1, value: each.fraction }),
    `${percent(each.fraction)}, ${each.done} of ${each.total} networks${each.failed ? `, ${each.failed} failed` : ""}`,
    each.message ? element("span", {}, each.message) : null)));
});

const drawFacts = whenChanged((mode, ready, restarts, trained) => {
  $("facts").replaceChildren(...[
    pill(words(mode), MODE_TONES[mode]),
    ready ? pill("ready", "good") : pill("starting", "warn"),
    trained ? pill(trained, "idle") : null,
    restarts ? pill(`${restarts} take-over${restarts > 1 ? "s" : ""}`, "warn") : null,
  ].filter(Boolean).map((each) => element("li", {}, each)));
});

function trainedText(training) {
  if (!training.length) return "";
  const done = training.filter((each) => each.fraction >= 1 && !each.failed).length;
  return done === training.length ? "networks trained" : "";
}

// Says aloud what has changed, and nothing while nothing changes.
const announce = whenChanged((ready, conditions) => {
  const bad = conditions.filter(([, , tone]) => tone !== "good").map(([shard, text]) => `${shard} ${text.replace(/ in .*/, " foreseen")}`);
  $("announcer").textContent = `Balancer ${ready ? "ready" : "starting"}. ${bad.length ? bad.join(", ") : "No congestion foreseen"}.`;
});

export function drawHead(status) {
  drawFacts(status.mode, status.ready, status.restarts, trainedText(status.training));
  $("trace-time").textContent = status.at ? dateTime(status.at) : "no tick yet";
  if (status.at) $("trace-time").setAttribute("datetime", status.at);
  $("tick").textContent = `tick ${count(status.ticks)}`;
  $("level").textContent = `p${Math.round(status.level * 100)}`;
  $("queue-endpoint").textContent = status.queue_endpoint ? `queue at ${status.queue_endpoint}` : "";
  drawOverview(status);
  drawTraining(status.training);
  announce(status.ready, status.shards.map((shard) => {
    const [text, tone] = condition(shard, status.at);
    return [shard.shard_id, tone === "warn" ? "congestion foreseen" : text, tone];
  }));
}

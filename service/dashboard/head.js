// What stands on top of every page, and what a screen reader is told when the state changes.

import { condition } from "./shards.js";
import { $, element, pill, whenChanged } from "./dom.js";
import { count, dateTime, words } from "./format.js";

const MODE_TONES = { predictive: "good", relief: "good", balance: "good", forecast_only: "warn", static: "idle" };

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
  $("queue-endpoint").textContent = status.queue_endpoint ? `queue at ${status.queue_endpoint}` : "";
  announce(status.ready, status.shards.map((shard) => {
    const [text, tone] = condition(shard, status.at);
    return [shard.shard_id, tone === "warn" ? "congestion foreseen" : text, tone];
  }));
}

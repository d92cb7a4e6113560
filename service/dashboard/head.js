// What stands on top of every page, and what a screen reader is told when the state changes.

import { condition } from "./shards.js";
import { $, element, fill, link, pill, whenChanged } from "./dom.js";
import { count, dateTime, plural, words } from "./format.js";

const MODE_TONES = { predictive: "good", relief: "good", balance: "good", forecast_only: "warn", static: "idle" };

// The mode with its reason, and what waits for people. What is ordered is a click away.
function modePill(status) {
  const made = link("#/orders", words(status.mode), { class: "pill", "data-tone": MODE_TONES[status.mode], title: status.mode_why, "data-key": "mode" });
  made.append(element("span", { class: "unseen" }, `: ${status.mode_why}`));
  return made;
}

const plansPill = (waiting) => link("#/plans", `${plural(waiting, "plan waits", "plans wait")} for approval`, { class: "pill", "data-tone": "warn", "data-key": "waiting" });

const drawFacts = whenChanged((status, ready, restarts, trained) => {
  fill($("facts"), ...[
    modePill(status),
    status.paused ? pill("paused", "warn") : null,
    status.plans_awaiting ? plansPill(status.plans_awaiting) : null,
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
  const bad = conditions.filter(([, , tone]) => tone === "warn" || tone === "bad").map(([shard, text]) => `${shard} ${text.replace(/ in .*/, " foreseen")}`);
  $("announcer").textContent = `Balancer ${ready ? "ready" : "starting"}. ${bad.length ? bad.join(", ") : "No congestion foreseen"}.`;
});

export function drawHead(status) {
  const { mode, mode_why: why, paused, plans_awaiting: waiting } = status;
  drawFacts({ mode, mode_why: why, paused, plans_awaiting: waiting }, status.ready, status.restarts, trainedText(status.training));
  $("trace-time").textContent = status.at ? dateTime(status.at) : "no tick yet";
  if (status.at) $("trace-time").setAttribute("datetime", status.at);
  $("tick").textContent = `tick ${count(status.ticks)}`;
  $("queue-endpoint").textContent = status.queue_endpoint ? `queue at ${status.queue_endpoint}` : "";
  announce(status.ready, status.shards.map((shard) => {
    const [text, tone] = condition(shard, status.at);
    return [shard.shard_id, text.startsWith("congestion") ? "congestion foreseen" : text, tone];
  }));
}

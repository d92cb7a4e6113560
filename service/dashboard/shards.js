// One card per shard. Cards are kept and updated in place, so that a chart is redrawn only when its shard has changed.

import { drawShard } from "./charts.js";
import { count, duration, element, minuteTime, percent, pill, rate, secondsBetween, term } from "./format.js";

const OTHERS = { memory_bytes: "memory", io_bytes_per_s: "I/O" };

// What is the matter with a shard: [words, tone]. The worst thing first.
export function condition(shard, now) {
  if (shard.error) return ["not answering", "bad"];
  if (Math.max(0, ...Object.values(shard.utilisation)) > 1) return ["over capacity", "bad"];
  if (!shard.congestion_at) return ["clear", "good"];
  const left = now ? secondsBetween(now, shard.congestion_at) : 0;
  return [left <= 0 ? "congestion now" : `congestion in ${duration(left)}`, "warn"];
}

function figures(shard) {
  return element("dl", { class: "figures" },
    term("arriving", `${rate(shard.arrival_messages_per_s)}/s`),
    term("served", `${rate(shard.served_messages_per_s)}/s`),
    term("backlog", count(shard.backlog)),
    term("oldest", duration(shard.oldest_age_s)),
    term("order params", count(shard.order_params)));
}

function loadLine(shard) {
  const others = Object.entries(OTHERS)
    .filter(([resource]) => resource in shard.utilisation)
    .map(([resource, name]) => `${name} ${percent(shard.utilisation[resource])}`);
  return element("p", { class: "shard-load" },
    element("strong", {}, percent(shard.utilisation.cpu_cores ?? 0)), "CPU",
    element("span", { class: "others" }, others.join(" · ")));
}

function inWords(shard) {
  const band = shard.bands.cpu_cores;
  if (!band?.target.length) return `CPU load of ${shard.shard_id}; there is no forecast yet`;
  const peak = Math.max(...band.target);
  const at = minuteTime(band.starts[band.target.indexOf(peak)]);
  return `CPU load of ${shard.shard_id}: ${percent(shard.utilisation.cpu_cores ?? 0)} now, up to ${percent(peak)} foreseen at ${at} UTC`;
}

function update(card, shard, status) {
  const [text, tone] = condition(shard, status.at);
  card.dataset.tone = tone;
  const head = element("div", { class: "shard-head" }, element("h3", { title: shard.endpoint }, shard.shard_id), pill(text, tone));
  const chart = card.querySelector(".chart") ?? element("div", { class: "chart", role: "img" });
  if (shard.error) {
    card.replaceChildren(head, element("p", { class: "shard-error" }, shard.error));
    return;
  }
  chart.setAttribute("aria-label", inWords(shard));
  card.replaceChildren(head, loadLine(shard), chart, figures(shard));
  drawShard(chart, shard, status.headroom, `p${Math.round(status.level * 100)}`);
}

export function shardCards(grid) {
  const drawn = new Map(); // shard id -> [card, what it shows]
  return (status, { redraw = false } = {}) => {
    for (const shard of status.shards) {
      const text = JSON.stringify([shard, status.headroom, status.level]);
      const [card, before] = drawn.get(shard.shard_id) ?? [element("article", { class: "shard", "data-shard": shard.shard_id }), null];
      if (!card.isConnected) {
        if (!drawn.size) grid.replaceChildren();
        grid.append(card); // connected first: Plotly measures it
      }
      if (redraw || text !== before) update(card, shard, status);
      drawn.set(shard.shard_id, [card, text]);
    }
    const present = new Set(status.shards.map((shard) => shard.shard_id));
    for (const [shardId, [card]] of drawn) {
      if (!present.has(shardId)) { card.remove(); drawn.delete(shardId); }
    }
    if (!drawn.size) grid.replaceChildren(element("p", { class: "empty" }, "No shards yet. They appear after the first tick."));
  };
}

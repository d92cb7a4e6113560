// One card per shard. Cards are kept and updated in place, so that a chart is redrawn only when its shard has changed and
// only while it is on the screen; with many shards the worst come first and the rest on demand.

import { drawShard } from "./load_chart.js";
import { button, element, empty, link, pill, term } from "./dom.js";
import { count, duration, minuteTime, percent, rate, resourceName, secondsBetween } from "./format.js";

const OTHERS = ["memory_bytes", "io_bytes_per_s"];
const CARDS_STEP = 24;

// What is the matter with a shard: [words, tone]. The worst thing first.
export function condition(shard, now) {
  if (shard.error) return ["not answering", "bad"];
  if (Math.max(0, ...Object.values(shard.utilisation)) > 1) return ["over capacity", "bad"];
  if (shard.draining) return shard.order_params || shard.backlog ? ["draining", "warn"] : ["empty", "idle"];
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
  const others = OTHERS.filter((resource) => resource in shard.utilisation)
    .map((resource) => `${resourceName(resource)} ${percent(shard.utilisation[resource])}`);
  return element("p", { class: "shard-load" },
    element("strong", {}, percent(shard.utilisation.cpu_cores ?? 0)), "CPU",
    element("span", { class: "others" }, others.join(" · ")));
}

export function inWords(shard) {
  const band = shard.bands.cpu_cores;
  if (!band?.target.length) return `CPU load of ${shard.shard_id}; there is no forecast yet`;
  const peak = Math.max(...band.target);
  const at = minuteTime(band.starts[band.target.indexOf(peak)]);
  return `CPU load of ${shard.shard_id}: ${percent(shard.utilisation.cpu_cores ?? 0)} now, up to ${percent(peak)} foreseen at ${at} UTC`;
}

function update(card, shard, status) {
  const [text, tone] = condition(shard, status.at);
  card.dataset.tone = tone;
  const name = card.querySelector("h3 a") ?? link(`#/shards/${encodeURIComponent(shard.shard_id)}`, shard.shard_id);
  const focused = document.activeElement === name;
  const head = element("div", { class: "shard-head" }, element("h3", { title: shard.endpoint }, name), pill(text, tone));
  const chart = card.querySelector(".chart") ?? element("div", { class: "chart", role: "img" });
  if (shard.error) {
    card.replaceChildren(head, element("p", { class: "shard-error" }, shard.error));
  } else {
    chart.setAttribute("aria-label", inWords(shard));
    card.replaceChildren(head, loadLine(shard), chart, figures(shard));
    drawShard(chart, shard, status.headroom, `p${Math.round(status.level * 100)}`);
  }
  if (focused) name.focus();
}

const SEVERITY = { bad: 0, warn: 1, good: 2, idle: 3 };

// The worst first if not all are shown; else in the order of the service, so that cards stay where they are.
function shown(status, most) {
  if (status.shards.length <= most) return status.shards;
  const key = (shard) => [SEVERITY[condition(shard, status.at)[1]], -Math.max(0, ...Object.values(shard.utilisation))];
  const order = status.shards.map((shard) => [key(shard), shard]).sort(([a], [b]) => a[0] - b[0] || a[1] - b[1]);
  return order.slice(0, most).map(([, shard]) => shard);
}

// Returns the function that draws a status. `more` is where the button for further shards goes.
export function shardCards(grid, more) {
  const cards = new Map(); // shard id -> { card, wanted, drawn, seen }
  let most = CARDS_STEP;
  let latest = null;

  const drawIfSeen = (entry) => {
    if (!entry.seen || entry.wanted.text === entry.drawn) return;
    entry.drawn = entry.wanted.text;
    update(entry.card, entry.wanted.shard, latest);
  };
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const entry = cards.get(target.dataset.shard);
      if (!entry) continue;
      entry.seen = isIntersecting;
      drawIfSeen(entry);
    }
  }, { rootMargin: "300px" });

  function entryOf(shardId) {
    if (!cards.has(shardId)) {
      const card = element("article", { class: "shard", "data-shard": shardId });
      cards.set(shardId, { card, wanted: null, drawn: null, seen: false });
      sight.observe(card);
    }
    return cards.get(shardId);
  }

  function drawAll(status) {
    latest = status;
    const visible = shown(status, most);
    const nodes = visible.map((shard) => {
      const entry = entryOf(shard.shard_id);
      entry.wanted = { shard, text: JSON.stringify([shard, status.headroom, status.level]) };
      return entry.card;
    });
    const present = new Set(visible.map((shard) => shard.shard_id));
    for (const [shardId, { card }] of cards) {
      if (!present.has(shardId)) { sight.unobserve(card); cards.delete(shardId); }
    }
    const same = nodes.length === grid.children.length && nodes.every((node, row) => grid.children[row] === node);
    if (!same) grid.replaceChildren(...nodes);
    if (!nodes.length) grid.replaceChildren(empty("No shards yet. They appear after the first tick."));
    for (const entry of cards.values()) drawIfSeen(entry);
    const left = status.shards.length - visible.length;
    more.replaceChildren(...(left ? [button(`Show ${Math.min(left, CARDS_STEP)} more of ${count(status.shards.length)} shards`, () => { most += CARDS_STEP; drawAll(latest); })] : []));
  }
  return drawAll;
}

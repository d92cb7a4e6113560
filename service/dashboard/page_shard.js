// One shard: its load on each resource, now and to come, and which order params it holds.

import { ask, enc, send } from "./api.js";
import { drawShard } from "./load_chart.js";
import { element, empty, fill, link, note, panel, pill, table, terms, whenChanged } from "./dom.js";
import { amount, count, duration, minuteTime, percent, rate, resourceName } from "./format.js";
import { action, answerLine, part } from "./live.js";
import { condition, inWords } from "./shards.js";

const REFRESH_MS = 5000;

function resources(shard) {
  return table(`Resources of ${shard.shard_id}`, [
    { label: "Resource", head: true, cell: ([name]) => resourceName(name) },
    { label: "Capacity", cell: ([name, value]) => (value === null ? "no limit" : amount(name, value)) },
    { label: "Load now", number: true, cell: ([name]) => percent(shard.utilisation[name]) },
    { label: "Highest foreseen, median", number: true, cell: ([name]) => peak(shard.bands[name]?.expected) },
    { label: "Highest foreseen, planned with", number: true, cell: ([name]) => peak(shard.bands[name]?.target) },
  ], Object.entries(shard.capacity));
}

const peak = (values) => (values?.length ? percent(Math.max(...values)) : "–");

// Drain and fill, as far as they stand.
function ordersPart(page, shardId) {
  const [box, body] = panel("Orders");
  const answer = answerLine();
  const list = element("div", { class: "actions" });
  body.append(list, answer);
  const refresh = part(page.signal, list, REFRESH_MS, () => ask("balancer"), ({ draining, filling }) => {
    const order = (method, what, said) => async () => { await send(method, `balancer/${what}/${enc(shardId)}`); await refresh(); return said; };
    fill(list,
      draining.includes(shardId)
        ? action("Stop emptying it", answer, order("DELETE", "drains", "It may take order params again."), { key: "drain" })
        : action("Empty it", answer, order("PUT", "drains", "It takes nothing, and what is on it is moved away."), { key: "drain", question: `Empty ${shardId}? All its order params are moved away.` }),
      filling.includes(shardId)
        ? action("Stop filling it", answer, order("DELETE", "fills", "Moves may go onto any shard."), { key: "fill" })
        : action("Fill it", answer, order("PUT", "fills", "Moves go onto such shards only."), { key: "fill" }));
  });
  return box;
}

export function open(page) {
  const [shardId] = page.args;
  const [box, body, aside] = panel("Load");
  const chart = element("div", { class: "chart tall", role: "img" });
  const all = link(`#/order-params?shard=${encodeURIComponent(shardId)}`, "Its order params", { class: "button" });
  page.root.append(page.heading(shardId, all), box, ordersPart(page, shardId));
  const draw = whenChanged((shard, at, headroom, level) => {
    if (!shard) return fill(body, empty("The service knows no shard of this name."));
    fill(aside, pill(...condition(shard, at)));
    if (shard.error) return fill(body, note(shard.error, "bad"));
    chart.setAttribute("aria-label", inWords(shard));
    const figures = terms(
      ["arriving", `${rate(shard.arrival_messages_per_s)} messages/s`], ["served", `${rate(shard.served_messages_per_s)} messages/s`],
      ["backlog", count(shard.backlog)], ["oldest", duration(shard.oldest_age_s)], ["order params", count(shard.order_params)],
      ["congestion foreseen", shard.congestion_at ? `${minuteTime(shard.congestion_at)} UTC` : "none"], ["endpoint", shard.endpoint]);
    fill(body, figures, chart, resources(shard));
    return drawShard(chart, shard, headroom, `p${Math.round(level * 100)}`);
  });
  page.onStatus((status) => draw(status.shards.find((each) => each.shard_id === shardId) ?? null, status.at, status.headroom, status.level));
}

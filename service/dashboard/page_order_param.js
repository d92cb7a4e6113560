// One order param: forecast and history with known events, how it is placed and why, what was foreseen and what came, cost.

import { ask, enc, send } from "./api.js";
import { drawForecast, drawOutcomes } from "./charts.js";
import { element, empty, fill, link, panel, table, terms, whenChanged } from "./dom.js";
import { bytes, count, dateTime, duration, finePercent, fits, plural, rate, words } from "./format.js";
import { effectsTable } from "./effects.js";
import { action, answerLine, field, form, part, select, switchOf } from "./live.js";
import { migrationRow } from "./migrations.js";
import { shardChain } from "./page_order_params.js";

const HISTORY_STEPS = { short: 48, medium: 288 };
const OUTCOME_STEPS = 288;
const SLOW_MS = 30_000;
const LIST = 20;
const REFRESH_MS = 5000;

const HORIZONS = [["short", "15 minutes"], ["medium", "24 hours"]];

const legend = (entries) => element("ul", { class: "legend", "aria-label": "Legend of the chart" },
  entries.map(([kind, text]) => element("li", {}, element("i", { class: `key key-${kind}` }), text)));

function inWords(name, forecast) {
  const middle = forecast.levels.indexOf(0.5);
  const peak = Math.max(...forecast.steps.map((step) => step.messages_per_s[middle]));
  const now = forecast.history.at(-1);
  return `Arrival rate of ${name}: ${now ? `${rate(now.messages_per_s)} messages/s observed last, ` : ""}median up to ${rate(peak)} foreseen`;
}

function forecastPart(page, name) {
  const [box, body, aside] = panel("Forecast");
  const chart = element("div", { class: "chart tall", role: "img", id: "detail-chart" });
  const about = element("p", { class: "aside", id: "detail-note" });
  const [choice, horizon] = switchOf("Horizon", "horizon", HORIZONS, "short", () => refresh());
  aside.append(legend([["load", "observed"], ["band", "forecast: median and bands"], ["event", "event"]]));
  const holder = element("div", {});
  body.append(choice, holder);
  const refresh = part(page.signal, holder, REFRESH_MS, async () => {
    const wanted = horizon();
    const [forecast, calendar] = await Promise.all([
      ask(`forecasts/${enc(name)}`, { horizon: wanted, history_steps: HISTORY_STEPS[wanted] }),
      ask("events").catch(() => ({ items: [] }))]);
    const from = forecast.history[0]?.at ?? forecast.steps[0]?.at;
    const until = forecast.steps.at(-1)?.at ?? from;
    const inSight = (event) => Date.parse(event.end) > Date.parse(from) && Date.parse(event.start) < Date.parse(until);
    return { forecast, events: calendar.items.filter((event) => inSight(event) && concerns(event, name)) };
  }, ({ forecast, events }) => {
    if (!chart.isConnected) fill(holder, chart, about);
    chart.setAttribute("aria-label", inWords(name, forecast));
    const [lowest, highest] = [forecast.levels[0], forecast.levels.at(-1)].map((level) => `p${+(level * 100).toFixed(1)}`);
    const known = events.length ? ` Events: ${events.map((event) => event.name || event.event_id).join(", ")}.` : "";
    about.textContent = `Forecast by ${words(forecast.source)}; bands from ${lowest} to ${highest}.${known}`;
    return drawForecast(chart, forecast, events);
  });
  return box;
}

// What had been foreseen, and what came: is the forecast of this order param to be believed?
function outcomesPart(page, name) {
  const [box, body, aside] = panel("Forecasts against what came");
  const chart = element("div", { class: "chart tall", role: "img" });
  const holder = element("div", {});
  const figures = element("div", {});
  const [horizonChoice, horizon] = switchOf("Horizon", "outcome-horizon", HORIZONS, "short", () => refresh());
  const [distanceChoice, distance] = switchOf("Foreseen", "distance", [["next", "one step ahead"], ["last", "at its end"]], "next", () => refresh());
  aside.append(legend([["load", "came"], ["band", "had been foreseen: median and bands"]]));
  body.append(element("div", { class: "actions" }, horizonChoice, distanceChoice), holder);
  const fetcher = () => ask(`forecast-outcomes/${enc(name)}`, { horizon: horizon(), distance: distance(), steps: OUTCOME_STEPS });
  const refresh = part(page.signal, holder, SLOW_MS, fetcher, (found) => {
    if (!found.items.length) return fill(holder, empty("Nothing to compare yet: what is foreseen has to come first."));
    fill(figures, terms(["80 % band held", finePercent(found.coverage_80)], ["95 % band held", finePercent(found.coverage_95)],
      ["compared", plural(found.items.length, "step")], ["foreseen", `${duration(found.items[0].ahead_s)} ahead`]));
    if (found.items.length < 2) return fill(holder, figures, empty("A chart is drawn from the second step on."));
    if (!chart.isConnected) fill(holder, figures, chart);
    chart.setAttribute("aria-label", `Arrival rate of ${name} beside what had been foreseen of it; the 80 % band held ${finePercent(found.coverage_80)} of it`);
    return drawOutcomes(chart, found.levels, found.items);
  });
  return box;
}

const concerns = (event, name) => !event.order_params.length || event.order_params.some((pattern) => fits(pattern, name));

// What the calendar says of this order param, whenever that is.
function eventsPart(page, name) {
  const [box, body, aside] = panel("Events");
  aside.append(link("#/events", "Calendar"));
  part(page.signal, body, 0, () => ask("events"), ({ items }) => {
    fill(body, table("Events of this order param", [
      { label: "Event", head: true, cell: (event) => event.name || event.event_id },
      { label: "Kind", cell: (event) => words(event.kind) },
      { label: "From", nowrap: true, cell: (event) => dateTime(event.start) },
      { label: "To", nowrap: true, cell: (event) => dateTime(event.end) },
    ], items.filter((event) => concerns(event, name)), "None is known of for this order param."));
  });
  return box;
}

// The mapping is as it is now; rate, load and backlog are of the last tick's look.
async function askPlacement(name) {
  const [found, { items }] = await Promise.all([
    ask(`order-params/${enc(name)}`, { history_steps: 0 }), ask("allocations", { prefix: name, limit: 1 })]); // the first one is the name itself
  return { found, now: items.find((each) => each.order_param === name) ?? found };
}

function placement({ found, now }) {
  return terms(
    ["shards, as they are consumed", element("span", {}, ...shardChain(now.shards))],
    ["epoch", count(now.epoch)],
    ["arriving", `${rate(found.messages_per_s)} messages/s`],
    ["CPU", `${rate(found.load.cpu_cores)} cores`],
    ["backlog", count(found.backlog)],
    ["oldest", duration(found.oldest_age_s)]);
}

function moveForm(page, name, after) {
  const destination = select("destination", []);
  const mode = select("mode", [["copy", "copy: the backlog moves too"], ["chain", "chain: the backlog stays"]]);
  page.onStatus(whenChanged((status) => {
    const chosen = destination.value;
    fill(destination, ...status.shards.map((each) => element("option", { value: each.shard_id }, each.shard_id)));
    if (chosen) destination.value = chosen;
  }));
  return form("Move this order param", [field("Move to", destination), field("Backlog", mode)], "Move", async (values) => {
    const made = await send("POST", "migrations", {
      order_param: name, destination: values.get("destination"), mode: values.get("mode"), reason: "asked for on the dashboard" });
    after();
    return `Migration ${made.migration_id} has started.`;
  });
}

function placementPart(page, name) {
  const [box, body] = panel("Placement");
  const now = element("div", {});
  const answer = answerLine();
  const orders = element("div", { class: "actions" });
  const refresh = part(page.signal, now, REFRESH_MS, () => askPlacement(name), (known) => fill(now, placement(known)));
  const drawOrders = part(page.signal, orders, REFRESH_MS, () => ask("balancer"), (balancer) => {
    const pinned = balancer.pinned.includes(name);
    const forbidden = balancer.forbidden[name] ?? [];
    const act = (method, verb) => async () => { await send(method, `balancer/pins/${enc(name)}`); await drawOrders(); return verb; };
    fill(orders,
      pinned ? action("Unpin", answer, act("DELETE", "It may be moved again."), { key: "pin" }) : action("Pin where it is", answer, act("PUT", "No plan moves it now."), { key: "pin" }),
      element("span", { class: "aside" }, [pinned ? "Pinned: no plan moves it." : "", forbidden.length ? `Forbidden on ${forbidden.join(", ")}.` : ""].join(" ")),
      answer);
  });
  body.append(now, moveForm(page, name, () => refresh()), orders);
  return box;
}

function historyPart(page, name) {
  const [box, body] = panel("Placement history");
  const list = element("ol", { class: "migrations short", tabindex: "0", "aria-label": "Migrations of this order param" });
  part(page.signal, body, REFRESH_MS, () => ask("migrations", { order_param: name, limit: LIST }), ({ items, looked_at: lookedAt, complete }) => {
    const among = items.length === LIST ? `The last ${count(LIST)}.` : `Only the queue's last ${count(lookedAt)} migrations are looked through.`;
    const older = complete ? null : element("p", { class: "why" }, `${among} `,
      link(`#/decisions?order_param=${enc(name)}`, "Decisions about it", { "data-key": "older" }), " go back further.");
    if (!items.length) return fill(body, empty(complete ? "It has not been moved, as far as the journal goes back." : "It has not been moved lately."), older);
    fill(list, items.map(migrationRow));
    return fill(body, list, older);
  });
  return box;
}

const RESOURCES = [
  ["CPU", "cpu_core_s", (value) => (value < 1 ? `${rate(value * 1000)} ms` : `${rate(value)} s`)], ["Memory while it waits", "memory_bytes", bytes], ["I/O", "io_bytes", bytes]];

function costPart(page, name) {
  const [box, body, aside] = panel("What a message costs");
  part(page.signal, body, SLOW_MS, () => ask(`costs/${enc(name)}`), (found) => {
    aside.textContent = found.messages ? `learned from ${count(found.messages)} messages` : "not learned yet: as all messages cost";
    fill(body, table("Cost per message", [
      { label: "Resource", head: true, cell: ([label]) => label },
      { label: "Cost", number: true, cell: ([, key, write]) => write(found.cost[key]) },
      { label: "Nine times in ten between", number: true, cell: ([, key, write]) => `${write(found.lower[key])} and ${write(found.upper[key])}` },
    ], RESOURCES));
  });
  return box;
}

function effectsPart(page, name) {
  const [box, body] = panel("What its moves promised, and what came of it");
  part(page.signal, body, SLOW_MS, () => ask("effects", { order_param: name, limit: LIST }), ({ items }) =>
    fill(body, effectsTable(items, "The balancer has not sent it anywhere.")));
  return box;
}

export function open(page) {
  const [name] = page.args;
  const all = link(`#/decisions?order_param=${enc(name)}`, "Decisions about it", { class: "button" });
  page.root.append(
    page.heading(name, all),
    forecastPart(page, name),
    outcomesPart(page, name),
    element("div", { class: "columns" }, placementPart(page, name), historyPart(page, name)),
    element("div", { class: "columns" }, costPart(page, name), eventsPart(page, name)),
    effectsPart(page, name));
}

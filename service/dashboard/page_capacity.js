// How many shards are needed, and what if: a form, the answer with its proven bound, and a chart of each step's need.

import { ask, send } from "./api.js";
import { drawNeed } from "./charts.js";
import { element, empty, fill, note, panel, pill, table, terms, way } from "./dom.js";
import { bytes, count, dateTime, duration, finePercent, plural, resourceName, words } from "./format.js";
import { field, form, input, part, select } from "./live.js";
import { lines, listOf, number, numberOr, utcOf } from "./form_lines.js";

const TONES = { optimal: "good", feasible: "idle", partial: "warn" };
const ANSWER_MS = 120_000; // the first question loads the solver
const FLEET_MS = 30_000;
const RISK_HINT = "0.05 accepts that a shard is overloaded in 1 step of 20";

const GROWTH = {
  title: "Growth", add: "Add a growth",
  fields: () => [field("Order params", input("order_params", { placeholder: "all, or JFK-*, LGA-*" })), field("Grow by, %", input("percent", { type: "number", step: "any", value: "20", required: true }))],
  read: (values) => ({ order_params: listOf(values.order_params), percent: number(values.percent) }),
};
const CAMPAIGN = {
  title: "Campaigns", add: "Add a campaign",
  fields: () => [
    field("Messages/s on top", input("messages_per_s", { type: "number", min: 0, step: "any", value: "100", required: true })),
    field("Order params", input("order_params", { placeholder: "all, or JFK-*" })),
    field("From, UTC", input("start", { type: "datetime-local" })), field("To, UTC", input("end", { type: "datetime-local" }))],
  read: (values) => ({ messages_per_s: number(values.messages_per_s), order_params: listOf(values.order_params), start: utcOf(values.start), end: utcOf(values.end) }),
};
const TENANT = {
  title: "New tenants", add: "Add a tenant",
  fields: () => [field("Name", input("name", { required: true })), field("Traffic like", input("like", { required: true, placeholder: "EWR-*" })), field("Times", input("factor", { type: "number", min: 0, step: "any", value: "1" }))],
  read: (values) => ({ name: values.name, like: listOf(values.like), factor: number(values.factor) }),
};
const TYPE = {
  title: "Shard types that can be had", add: "Add a shard type", none: "None given: shards like those there are.",
  fields: () => [
    field("Name", input("name", { required: true })), field("CPU cores", input("cpu_cores", { type: "number", min: 0, step: "any", required: true })),
    field("Memory, MB", input("memory", { type: "number", min: 0, step: "any", placeholder: "no limit" })), field("I/O, MB/s", input("io", { type: "number", min: 0, step: "any", placeholder: "no limit" })),
    field("Price", input("price", { type: "number", min: 0, step: "any", value: "1" })), field("At most", input("most", { type: "number", min: 0, placeholder: "any number" }))],
  read: (values) => ({ name: values.name, capacity: capacityOf(values), price: number(values.price), most: numberOr(values.most, null) }),
};

function capacityOf({ cpu_cores: cores, memory, io }) {
  const given = { cpu_cores: number(cores) };
  if (memory) given.memory_bytes = number(memory) * 1e6;
  if (io) given.io_bytes_per_s = number(io) * 1e6;
  return given;
}

function questionForm(answer) {
  const groups = { types: lines(TYPE), growths: lines(GROWTH), campaigns: lines(CAMPAIGN), tenants: lines(TENANT) };
  const basics = [
    field("Horizon", select("horizon", [["hour", "hour"], ["day", "day"], ["week", "week"]])),
    field("Accepted risk", input("alpha", { type: "number", min: 0.001, max: 0.5, step: "any", value: "0.05", required: true }), RISK_HINT),
    field("Usable share of a shard", input("headroom", { type: "number", min: 0.05, max: 1, step: "any", value: "0.9", required: true })),
    field("Zones", input("zones", { type: "number", min: 1, max: 100, value: "1", required: true }), "with more than 1, any one may be lost"),
    field("Shards at most", input("segments", { type: "number", min: 1, value: "1", required: true }), "for one order param; 1: none is split"),
  ];
  basics[0].querySelector("select").value = "day";
  const made = form("Capacity question", [...basics, ...Object.values(groups).map((group) => group.node)], "Work it out", async (values) => {
    const asked = {
      horizon: values.get("horizon"), alpha: number(values.get("alpha")), headroom: number(values.get("headroom")),
      zones: number(values.get("zones")), segments: number(values.get("segments")),
      ...Object.fromEntries(Object.entries(groups).map(([name, group]) => [name, group.read()])),
    };
    const found = await send("POST", "capacity:what-if", asked, { timeoutMs: ANSWER_MS });
    answer(found);
    return `Answered in ${duration(found.took_s)}.`;
  });
  return made;
}

function summary(found) {
  const bound = found.shards_lower_bound;
  return terms(
    ["shards", count(found.shards)],
    ["no fewer than (proven)", count(bound)],
    ["price / proven bound", `${found.price} / ${found.price_lower_bound}`],
    found.gap === null ? null : ["gap", finePercent(found.gap)],
    ["highest risk", finePercent(found.risk)],
    ["binding resource", resourceName(found.binding_resource || "–")],
    found.binding_at ? ["scarcest at", dateTime(found.binding_at)] : null,
    ["order params", count(found.order_params)]);
}

const limits = (capacity) => Object.entries(capacity).map(([name, amount]) => {
  if (amount === null) return null;
  return name === "cpu_cores" ? `${amount} cores` : name === "memory_bytes" ? bytes(amount) : name === "io_bytes_per_s" ? `${bytes(amount)}/s` : `${words(name)} ${amount}`;
}).filter(Boolean).join(", ");

function typesTable(types) {
  return table("Fleet", [
    { label: "Shard type", head: true, cell: (each) => each.name },
    { label: "Shards", number: true, cell: (each) => count(each.shards) },
    { label: "Each holds", cell: (each) => limits(each.capacity) },
    { label: "Price each", number: true, cell: (each) => String(each.price) },
  ], types);
}

function planOf(plan) {
  if (!plan) return [empty("No way there: no shards are known, or there is no fleet.")];
  const started = Object.entries(plan.start).filter(([, number_]) => number_).map(([type, number_]) => `${number_} of ${type}`);
  return [
    terms(["start", started.join(", ") || "none"], ["empty and stop", plan.drain.join(", ") || "none"], ["moves", count(plan.moves.length)], ["quality", plan.quality]),
    table("Moves on the way", [
      { label: "Order param", head: true, cell: (move) => move.order_param },
      { label: "Way", cell: (move) => way(move.source, move.destination) },
      { label: "Wave", number: true, cell: (move) => count(move.wave) },
      { label: "Reason", text: true, cell: (move) => move.reason },
    ], plan.moves.slice(0, 500), "Nothing has to move."),
  ];
}

function needWords(found) {
  const { steps } = found.hours;
  const most = Math.max(0, ...steps.map((step) => step.needed));
  const at = steps.find((step) => step.needed === most);
  return at ? `Shards of type ${found.hours.type} needed at each step: up to ${most}, at ${dateTime(at.start)}` : "No steps";
}

function drawAnswer(body, aside, found) {
  fill(aside, pill(words(found.status), TONES[found.status] ?? "bad"));
  const chart = element("div", { class: "chart tall", role: "img", "aria-label": needWords(found) });
  const key = (kind, text) => element("li", {}, element("i", { class: `key key-${kind}` }), text);
  fill(body,
    found.reason ? note(found.reason, "bad") : null,
    summary(found),
    found.leftovers_count ? note(`${plural(found.leftovers_count, "order param")} fit no shard type, the first: ${found.leftovers.slice(0, 3).map((each) => `${each.order_param}: ${each.reason}`).join("; ")}`) : null,
    found.hours.steps.length ? [element("ul", { class: "legend more", "aria-label": "Legend of the chart" },
      key("need", `needed at that step alone (${found.hours.type})`), key("bound", "proven bound"), key("capacity", "the fleet")), chart] : null,
    typesTable(found.types),
    element("h3", { class: "more" }, "The way there"), ...planOf(found.plan),
    element("h3", { class: "more" }, "How it was understood"), element("ul", {}, found.notes.map((text) => element("li", { class: "why" }, text))));
  if (found.hours.steps.length) drawNeed(chart, found.hours.steps, found.shards);
}

// What the load foreseen needs hour by hour, and what the balancer does about it by itself.
function fleetPart(page) {
  const [box, body, aside] = panel("The coming day, as foreseen");
  const chart = element("div", { class: "chart", role: "img" });
  part(page.signal, body, FLEET_MS, () => ask("capacity"), (fleet) => {
    fill(aside, pill(fleet.managed ? "shards come and go by themselves" : "advice alone", fleet.managed ? "good" : "idle"));
    const steps = fleet.needs.map((each) => ({ start: each.starts, needed: each.shards }));
    const most = Math.max(0, ...steps.map((step) => step.needed));
    chart.setAttribute("aria-label", `Shards needed in the coming day: up to ${most}; ${fleet.shards} take load now`);
    fill(body,
      terms(["shards that take load", count(fleet.shards)], ["wanted now", count(fleet.wanted)], ["most in the coming day", count(most)],
        ["starting", fleet.starting.join(", ") || "none"], ["being emptied", fleet.draining.join(", ") || "none"]),
      element("p", { class: "why" }, fleet.why), fleet.error ? note(fleet.error, "bad") : null,
      fleet.short ? note(`${plural(fleet.short, "shard")} more than elastic.max_shards would be needed`) : null, chart);
    return drawNeed(chart, steps, fleet.shards);
  });
  return box;
}

export function open(page) {
  const [asked, questionBody] = panel("Question");
  const [answered, answerBody, aside] = panel("Answer");
  fill(answerBody, empty("Nothing asked yet. Nothing is started or moved by asking."));
  questionBody.append(questionForm((found) => drawAnswer(answerBody, aside, found)));
  page.root.append(page.heading("Capacity: what if"), element("p", { class: "lead" },
    "The cheapest fleet that holds what is foreseen, with a proven lower bound, what binds, and how to get there."), asked, answered, fleetPart(page));
}

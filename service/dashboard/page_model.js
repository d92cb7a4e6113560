// One network: its versions with what the backtest said of them, what happened to them, and who is to serve.

import { ask, enc, send } from "./api.js";
import { element, fill, link, panel, pill, table, terms } from "./dom.js";
import { duration, fixed, momentTime, words } from "./format.js";
import { field, form, input, part, select } from "./live.js";
import { bands, losses } from "./page_models.js";

const REFRESH_MS = 10_000;
const BASELINE = "";

function versionsTable(found) {
  return table("Versions, newest first", [
    { label: "Version", head: true, cell: (each) => each.version },
    { label: "Part", cell: (each) => (each.champion ? pill("champion", "good") : pill(found.former_champions.includes(each.version) ? "former champion" : "challenger")) },
    { label: "Kind", cell: (each) => each.kind ?? "–" },
    { label: "Loss / the baseline's", number: true, cell: losses },
    { label: "80 % / 95 % band held", number: true, cell: bands },
    { label: "Trained in", number: true, cell: (each) => duration(each.training_s) },
    { label: "Made", nowrap: true, cell: (each) => (each.made_at ? momentTime(each.made_at) : "–") },
    { label: "Trouble", text: true, cell: (each) => each.error },
  ], found.versions);
}

function eventsTable(events) {
  return table("What happened, newest first", [
    { label: "When, UTC", nowrap: true, head: true, cell: (each) => momentTime(each.at) },
    { label: "What", cell: (each) => words(each.what) },
    { label: "Version", cell: (each) => each.version ?? "the baseline" },
    { label: "By", cell: (each) => each.who },
    { label: "Why", text: true, cell: (each) => each.reason },
  ], [...events].reverse(), "Nothing is written down.");
}

// Figures of the newest versions side by side, to see whether they drift.
function trend(found) {
  const known = found.versions.filter((each) => each.metrics).slice(0, 10).reverse();
  if (known.length < 2) return null;
  return terms(["loss over the last versions", known.map((each) => fixed(each.metrics.wql, 3)).join(" → ")]);
}

export function open(page) {
  const [group, horizon] = page.args;
  const path = `models/${enc(group)}/${enc(horizon)}`;
  const [versionsPanel, versions, aside] = panel("Versions");
  const [eventsPanel, events] = panel("What happened");
  const [servePanel, serve] = panel("Who is to serve");
  const choice = select("version", []);
  serve.append(form("Who is to serve", [field("Version", choice), field("Why", input("reason", { required: true, maxlength: 1000 }), "for the audit log")], "Let it serve", async (values) => {
    const version = values.get("version") === BASELINE ? null : values.get("version");
    await send("PUT", `${path}/champion`, { version, reason: values.get("reason") });
    await refresh();
    return `${version ?? "The baseline"} serves from the next forecast on.`;
  }));
  page.root.append(page.heading(`${group}, ${horizon}`, link("#/models", "All networks", { class: "button" })), versionsPanel, servePanel, eventsPanel);
  const refresh = part(page.signal, versions, REFRESH_MS, () => ask(path), (found) => {
    fill(aside, found.baseline_serves ? pill("the baseline serves", "warn") : pill(`${found.champion} serves`, "good"));
    fill(versions, versionsTable(found), trend(found));
    fill(events, eventsTable(found.events));
    const chosen = choice.value;
    fill(choice, found.versions.map((each) => element("option", { value: each.version }, each.version)), element("option", { value: BASELINE }, "the baseline"));
    if (chosen) choice.value = chosen;
  });
}

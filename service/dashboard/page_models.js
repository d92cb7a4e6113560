// How good the forecasts are, which networks serve or wait as challengers, and the jobs that train them anew.

import { ask, enc, send } from "./api.js";
import { element, empty, fill, link, note, panel, pill, table } from "./dom.js";
import { count, dateTime, duration, finePercent, fixed, momentTime, percent, words } from "./format.js";
import { action, answerLine, field, form, input, part, select } from "./live.js";
import { listOf } from "./form_lines.js";

const SLOW_MS = 10_000;
const JOBS_MS = 2000;
const MODELS_MOST = 500;
const OFF_MOST = 0.05; // a champion is demoted when a coverage is further off than this
const STATE_TONES = { running: "warn", done: "good", failed: "bad", cancelled: "idle", waiting: "idle" };

const coverage = (share, aim) => element("span", {}, finePercent(share), " ",
  pill(Math.abs(share - aim) <= OFF_MOST ? "as it should be" : "off", Math.abs(share - aim) <= OFF_MOST ? "good" : "bad"));

function gain(each) {
  if (each.loss === null || each.seasonal_naive_loss === null || !each.seasonal_naive_loss) return "–";
  const better = 1 - each.loss / each.seasonal_naive_loss;
  return pill(`${percent(Math.abs(better))} ${better >= 0 ? "better" : "worse"}`, better >= 0 ? "good" : "bad");
}

function qualityTable(items) {
  return table("Forecast quality of the last seven days", [
    { label: "Horizon and forecaster", head: true, cell: (each) => `${each.horizon}, ${each.forecaster}` },
    { label: "Compared", number: true, cell: (each) => count(each.pairs) },
    { label: "80 % band holds", cell: (each) => coverage(each.coverage_80, 0.8) },
    { label: "95 % band holds", cell: (each) => coverage(each.coverage_95, 0.95) },
    { label: "Loss", number: true, cell: (each) => fixed(each.loss, 3) },
    { label: "Same time the day before", number: true, cell: (each) => fixed(each.seasonal_naive_loss, 3) },
    { label: "Against that", cell: gain },
    { label: "Since", nowrap: true, cell: (each) => dateTime(each.since) },
  ], items, "Nothing compared yet: the first forecasts have to come true, or not.");
}

// Losses of one version on the days held out, beside those of the baseline.
export const losses = (version) => (version.metrics ? `${fixed(version.metrics.wql, 3)} / ${fixed(version.metrics.wql_baseline, 3)}` : "–");
export const bands = (version) => (version.metrics ? `${finePercent(version.metrics.coverage_80)} / ${finePercent(version.metrics.coverage_95)}` : "–");

export const modelHref = (model) => `#/models/${enc(model.group)}/${enc(model.horizon)}`;

function modelsTable(items) {
  return table("Networks", [
    { label: "Network", head: true, cell: (each) => link(modelHref(each), `${each.group}, ${each.horizon}`, { "data-key": `model ${each.group} ${each.horizon}` }) },
    { label: "Serves", cell: (each) => (each.baseline_serves ? pill("the baseline", "warn") : pill(each.champion, "good")) },
    { label: "Versions", number: true, cell: (each) => count(each.versions) },
    { label: "Newest", cell: (each) => (each.newest.champion ? each.newest.version : `${each.newest.version}, a challenger`) },
    { label: "Its loss / the baseline's", number: true, cell: (each) => losses(each.newest) },
    { label: "80 % / 95 % band held", number: true, cell: (each) => bands(each.newest) },
    { label: "Made", nowrap: true, cell: (each) => (each.newest.made_at ? momentTime(each.newest.made_at) : each.newest.error) },
  ], items, "No networks are kept here yet: where none is trained, the baseline foresees.");
}

function partsTable(job) {
  return table(`Parts of ${job.retraining_id}`, [
    { label: "Network", head: true, cell: (each) => `${each.group}, ${each.horizon}` },
    { label: "State", cell: (each) => pill(words(each.state), STATE_TONES[each.state] ?? (each.state === "training" ? "warn" : "idle")) },
    { label: "Done", number: true, cell: (each) => percent(each.fraction) },
    { label: "Took", number: true, cell: (each) => duration(each.took_s) },
    { label: "Note", text: true, cell: (each) => each.note },
  ], job.parts, "Its parts are not known yet.");
}

function jobRow(job, answer, refresh) {
  const runs = job.state === "running" || job.state === "waiting";
  const cancel = runs ? action("Cancel", answer, async () => {
    await send("DELETE", `retrainings/${enc(job.retraining_id)}`);
    await refresh();
    return "It has ended; what it trained stays.";
  }, { question: "End this retraining? Networks that it has trained stay.", tone: "bad", key: `cancel ${job.retraining_id}` }) : null;
  const left = runs && job.eta_s !== null ? `, ${duration(job.eta_s)} left` : "";
  return element("li", {},
    element("div", { class: "row-head" }, element("span", { class: "name mono" }, job.retraining_id), pill(words(job.state), STATE_TONES[job.state]),
      element("span", { class: "when" }, momentTime(job.submitted_at))),
    element("div", { class: "progress" }, element("progress", { max: 1, value: job.fraction, "aria-label": "Done" }), element("span", {}, `${percent(job.fraction)}${left}`), cancel),
    job.error ? note(job.error, "bad") : null,
    element("details", {}, element("summary", {}, `${count(job.parts.length)} networks`), partsTable(job)));
}

function startForm(refresh) {
  const fields = [
    field("Horizons", select("horizons", [["", "both"], ["short", "short"], ["medium", "medium"]])),
    field("Groups", input("groups", { placeholder: "all" }), "as the networks are kept by, with commas between"),
    field("Learn from the last", input("since", { placeholder: "all of use" }), "a span as 14d or 36h, or a time")];
  return form("Train networks anew", fields, "Train", async (values) => {
    const job = await send("POST", "retrainings", {
      groups: listOf(values.get("groups")), horizons: listOf(values.get("horizons")), since: values.get("since") });
    await refresh();
    return `${job.retraining_id} is ${job.state}.`;
  });
}

export function open(page) {
  const [qualityPanel, quality] = panel("Foreseen against what came, last seven days");
  const [jobsPanel, jobs] = panel("Retrainings");
  const [modelsPanel, models, modelsAside] = panel("Networks: who serves, who challenges");
  page.root.append(page.heading("Models"), qualityPanel, modelsPanel, jobsPanel);
  part(page.signal, models, SLOW_MS, () => ask("models", { limit: MODELS_MOST }), ({ items, total }) => {
    modelsAside.textContent = `${count(items.length)} of ${count(total)}, losses on the days held out`;
    fill(models, modelsTable(items));
  });
  part(page.signal, quality, SLOW_MS, () => ask("forecast-quality"), ({ items }) => fill(quality, qualityTable(items)));
  const answer = answerLine();
  const list = element("div", {});
  jobs.append(startForm(() => refresh()), answer, list);
  const refresh = part(page.signal, list, JOBS_MS, () => ask("retrainings"), ({ items }) => fill(list, items.length
    ? element("ul", { class: "rows" }, items.map((job) => jobRow(job, answer, () => refresh())))
    : empty("None yet. Networks are also trained by themselves, on the schedule of the settings.")));
}

// Charts by Plotly, which is fetched when the first one is drawn. Each carries its message in words as its label.

import { historyFrom, since } from "./load_chart.js";

const CONFIG = { displayModeBar: false };

let loading = null;
function plotly() {
  return (loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "plotly.min.js";
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => { loading = null; reject(new Error("the charts' script does not load")); });
    document.head.append(script);
  }));
}

// A chart follows the width of its card, whatever the reason of the change. Resized in the next frame: doing it while sizes
// are being observed would report a loop.
const widths = new ResizeObserver((entries) => requestAnimationFrame(() => {
  for (const { target } of entries) if (target.isConnected && target.clientWidth && target.data) window.Plotly.Plots.resize(target);
}));

// Traces and layout are made when Plotly is there, in the colours of that moment, and anew when the colours change.
const makers = new WeakMap();
export async function draw(node, make) {
  makers.set(node, make);
  node.dataset.chart = "";
  const { react } = await plotly();
  if (!node.isConnected || makers.get(node) !== make) return; // left meanwhile, or drawn anew
  await react(node, ...make(), CONFIG);
  widths.observe(node);
}
// A colour of the style sheet as it is now, light or dark.
const colours = new Map();
export function colour(name) {
  if (!colours.has(name)) {
    const probe = document.getElementById("banner");
    probe.style.outlineColor = `var(--${name})`;
    colours.set(name, getComputedStyle(probe).outlineColor);
  }
  return colours.get(name);
}

window.addEventListener("themechange", () => {
  colours.clear();
  for (const node of document.querySelectorAll("[data-chart]")) if (makers.has(node)) draw(node, makers.get(node));
});

export function baseLayout(more = {}) {
  const axis = { gridcolor: colour("grid"), zeroline: false, tickfont: { size: 10.5, color: colour("muted") }, fixedrange: true };
  return {
    margin: { l: 38, r: 8, t: 8, b: 22 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 11, color: colour("muted") },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("text"), size: 12 } },
    ...more,
    xaxis: { ...axis, type: "date", showgrid: false, tickformat: "%H:%M", hoverformat: "%a %d %b %H:%M UTC", nticks: 5, ...more.xaxis },
    yaxis: { ...axis, rangemode: "tozero", nticks: 5, ...more.yaxis },
  };
}

const level = (y, name, dash) => ({
  type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, layer: "below", line: { color: colour(name), width: 1.2, dash },
});

const nowLine = (at) => ({
  type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: colour("headroom"), width: 1, dash: "dot" },
});

const eventShade = (event) => ({
  type: "rect", x0: event.start, x1: event.end, yref: "paper", y0: 0, y1: 1, layer: "below", fillcolor: colour("event-fill"), line: { width: 0 },
});

export function line(x, y, name, color, more = {}) {
  return { x, y, name, type: "scatter", mode: "lines", line: { color, width: 1.8 }, ...more };
}

const edge = { line: { width: 0 } };
const filled = () => ({ ...edge, fill: "tonexty", fillcolor: colour("band-fill") });

// Quantiles as bands that lie around the median; `values[row]` has one rate per level.
function bandTraces(times, levels, values) {
  const column = (index) => values.map((row) => row[index]);
  const middle = levels.indexOf(0.5);
  const bands = levels.slice(0, middle).flatMap((low, index) => {
    const mirror = levels.length - 1 - index;
    return [
      line(times, column(index), `p${Math.round(low * 100)}`, colour("band"), edge),
      line(times, column(mirror), `p${Math.round(levels[mirror] * 100)}`, colour("band"), filled()),
    ];
  });
  return [...bands, line(times, column(middle), "median", colour("band"))];
}

// One order param: what was observed, what is foreseen, and the events that lie in that time.
export function drawForecast(node, forecast, events) {
  const last = forecast.history.at(-1); // the bands begin where the observed line ends
  const times = [...(last ? [last.at] : []), ...forecast.steps.map((step) => step.at)];
  const values = [
    ...(last ? [forecast.levels.map(() => last.messages_per_s)] : []),
    ...forecast.steps.map((step) => step.messages_per_s),
  ];
  const past = forecast.history.map((point) => point.at);
  const [seenAt, seen] = since(past, forecast.history.map((point) => point.messages_per_s), historyFrom(past, times));
  const range = times.length ? [seenAt[0] ?? times[0], times.at(-1)] : undefined;
  return draw(node, () => [
    [line(seenAt, seen, "observed", colour("load")), ...bandTraces(times, forecast.levels, values)],
    baseLayout({
      margin: { l: 52, r: 10, t: 8, b: 28 },
      xaxis: { range },
      yaxis: { title: { text: "messages/s", font: { size: 11 } }, hoverformat: ".3~g" },
      shapes: [...events.map(eventShade), ...(times.length ? [nowLine(times[0])] : [])],
    }),
  ]);
}

// What had been foreseen for steps that are over, and what came.
export function drawOutcomes(node, levels, outcomes) {
  const times = outcomes.map((each) => each.at);
  return draw(node, () => [
    [
      ...bandTraces(times, levels, outcomes.map((each) => each.foreseen_messages_per_s)),
      line(times, outcomes.map((each) => each.messages_per_s), "came", colour("load"), { mode: "lines+markers", marker: { size: 4, color: colour("load") } }),
    ],
    baseLayout({ margin: { l: 52, r: 10, t: 8, b: 28 }, yaxis: { title: { text: "messages/s", font: { size: 11 } }, hoverformat: ".3~g" } }),
  ]);
}

// Shards needed, step by step, above the proven bound where there is one.
export function drawNeed(node, steps, fleet) {
  const times = steps.map((step) => step.start);
  const bounds = steps.map((step) => step.lower_bound ?? null);
  const stairs = (width, dash, paint) => ({ line: { shape: "hv", width, dash, color: colour(paint) } });
  return draw(node, () => [
    [
      ...(bounds.includes(null) ? [] : [line(times, bounds, "proven bound", null, stairs(1.2, "dot", "headroom"))]),
      line(times, steps.map((step) => step.needed), "needed", null, { ...stairs(2, "solid", "load"), fill: "tozeroy", fillcolor: colour("load-fill") }),
    ],
    baseLayout({
      margin: { l: 42, r: 8, t: 8, b: 36 },
      xaxis: { tickformat: null },
      yaxis: { title: { text: "shards", font: { size: 11 } }, range: [0, Math.max(fleet, ...steps.map((step) => step.needed)) * 1.1 + 0.5], dtick: fleet > 10 ? null : 1 },
      shapes: [level(fleet, "capacity", "dash")],
    }),
  ]);
}

// Groups of bars, one of each series per shard. series: [[name, values, colour]].
export function drawBars(node, shards, series, headroom) {
  return draw(node, () => [
    series.map(([name, values, paint]) => ({ type: "bar", x: shards, y: values, name, marker: { color: colour(paint) } })),
    baseLayout({
      barmode: "group",
      margin: { l: 42, r: 8, t: 8, b: 40 },
      xaxis: { type: "category", nticks: 0, hoverformat: null, tickformat: null },
      yaxis: { tickformat: ".0%", hoverformat: ".0%" },
      shapes: [level(1, "capacity"), level(headroom, "headroom", "dash")],
    }),
  ]);
}

// The two charts: a shard's load against its capacity, and one order param's forecast. Drawn by Plotly.

const HISTORY_SPANS = 4; // how much history is shown for one span of forecast, so that the forecast stays visible
const HISTORY_STEPS_MIN = 18;
const DAY_MS = 24 * 3600 * 1000;
const CONFIG = { displayModeBar: false };

// A chart follows the width of its card, whatever the reason of the change. Resized in the next frame: doing it while sizes
// are being observed would report a loop.
const widths = new ResizeObserver((entries) => requestAnimationFrame(() => {
  for (const { target } of entries) if (target.isConnected && target.clientWidth && target.data) Plotly.Plots.resize(target);
}));

function draw(node, traces, layout) {
  Plotly.react(node, traces, layout, CONFIG);
  widths.observe(node);
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function baseLayout() {
  const axis = { gridcolor: colour("grid"), zeroline: false, tickfont: { size: 10.5, color: colour("muted") }, fixedrange: true };
  return {
    margin: { l: 38, r: 8, t: 8, b: 22 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 11, color: colour("muted") },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("text"), size: 12 } },
    xaxis: { ...axis, type: "date", showgrid: false, tickformat: "%H:%M", hoverformat: "%a %d %b %H:%M UTC", nticks: 5 },
    yaxis: { ...axis, rangemode: "tozero", nticks: 5 },
  };
}

const level = (y, name, dash) => ({
  type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, layer: "below", line: { color: colour(name), width: 1.2, dash },
});

const nowLine = (at) => ({
  type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: colour("headroom"), width: 1, dash: "dot" },
});

function line(x, y, name, color, more = {}) {
  return { x, y, name, type: "scatter", mode: "lines", line: { color, width: 1.8 }, ...more };
}

// How far back the chart begins: some spans of the forecast, at least some steps, at most a day.
function historyFrom(times, forecastTimes) {
  if (times.length < 2) return times[0];
  const last = Date.parse(times.at(-1));
  const step = last - Date.parse(times.at(-2));
  const ahead = forecastTimes.length ? Date.parse(forecastTimes.at(-1)) - last : 0;
  const wanted = Math.min(DAY_MS, Math.max(ahead * HISTORY_SPANS, step * HISTORY_STEPS_MIN));
  return new Date(Math.max(last - wanted, Date.parse(times[0]))).toISOString();
}

function since(times, values, from) {
  const start = times.findIndex((time) => Date.parse(time) >= Date.parse(from));
  return start < 0 ? [[], []] : [times.slice(start), values.slice(start)];
}

export function drawShard(node, shard, headroom, targetName) {
  const band = shard.bands.cpu_cores ?? { starts: [], expected: [], target: [] };
  const [times, load] = since(shard.history_at, shard.history, historyFrom(shard.history_at, band.starts));
  const joint = load.length ? [load.at(-1)] : []; // the band begins where the load ends
  const ahead = band.starts.length ? [...times.slice(-1), ...band.starts] : [];
  const top = Math.max(1.15, ...load, ...band.target) * 1.04;
  const layout = baseLayout();
  layout.yaxis = { ...layout.yaxis, range: [0, top], tickformat: ".0%", hoverformat: ".0%" };
  layout.shapes = [level(1, "capacity"), level(headroom, "headroom", "dash"), ...(times.length ? [nowLine(times.at(-1))] : [])];
  draw(node, [
    line(times, load, "load", colour("load")),
    line(ahead, [...joint, ...band.expected], "median", colour("band"), { line: { color: colour("band"), width: 1.2, dash: "dot" } }),
    line(ahead, [...joint, ...band.target], targetName, colour("band"), { fill: "tonexty", fillcolor: colour("band-fill") }),
  ], layout);
}

export function drawForecast(node, forecast) {
  const last = forecast.history.at(-1); // the bands begin where the observed line ends
  const times = [...(last ? [last.at] : []), ...forecast.steps.map((step) => step.at)];
  const at = (column) => [...(last ? [last.messages_per_s] : []), ...forecast.steps.map((step) => step.messages_per_s[column])];
  const past = forecast.history.map((point) => point.at);
  const seen = forecast.history.map((point) => point.messages_per_s);
  const [shownPast, shownSeen] = since(past, seen, historyFrom(past, times));
  const middle = forecast.levels.indexOf(0.5);
  const bands = forecast.levels.slice(0, middle).flatMap((low, column) => {
    const mirror = forecast.levels.length - 1 - column;
    const edge = { line: { width: 0 } };
    return [
      line(times, at(column), `p${Math.round(low * 100)}`, colour("band"), edge),
      line(times, at(mirror), `p${Math.round(forecast.levels[mirror] * 100)}`, colour("band"), { ...edge, fill: "tonexty", fillcolor: colour("band-fill") }),
    ];
  });
  const layout = baseLayout();
  layout.margin = { l: 52, r: 10, t: 8, b: 28 };
  layout.yaxis = { ...layout.yaxis, title: { text: "messages/s", font: { size: 11 } }, hoverformat: ".3~g" };
  layout.shapes = times.length ? [nowLine(times[0])] : [];
  draw(node, [
    line(shownPast, shownSeen, "observed", colour("load")),
    ...bands,
    line(times, at(middle), "median", colour("band")),
  ], layout);
}

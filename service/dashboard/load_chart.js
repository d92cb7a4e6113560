// A shard's load against its capacity, as an SVG of our own: many of them are drawn again each tick, and the overview need
// not wait for plotly. Colours come from the style sheet, so light and dark need no drawing anew.
//
//     100 % ------------------------- capacity        past: the load as a line
//      90 % - - - - - - - - - - - - - headroom        ahead: a band from the median (dotted) to the level planned with
//              load _/\__|::::::
//       0 % -------------+-----------> time

import { minuteTime, percent } from "./format.js";

const EDGE = { left: 40, right: 8, top: 8, bottom: 20 };
const DAY_MS = 24 * 3600 * 1000;
const HISTORY_SPANS = 4; // how much history is shown for one span of forecast, so that the forecast stays visible
const HISTORY_STEPS_MIN = 18;
const TOP_MIN = 1.15;
const STEPS_MIN = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720];
const LABEL_PX = 56;

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// How far back a chart begins: some spans of the forecast, at least some steps, at most a day.
export function historyFrom(times, forecastTimes) {
  if (times.length < 2) return times[0];
  const last = Date.parse(times.at(-1));
  const step = last - Date.parse(times.at(-2));
  const ahead = forecastTimes.length ? Date.parse(forecastTimes.at(-1)) - last : 0;
  const wanted = Math.min(DAY_MS, Math.max(ahead * HISTORY_SPANS, step * HISTORY_STEPS_MIN));
  return new Date(Math.max(last - wanted, Date.parse(times[0]))).toISOString();
}

export function since(times, values, from) {
  const start = times.findIndex((time) => Date.parse(time) >= Date.parse(from));
  return start < 0 ? [[], []] : [times.slice(start), values.slice(start)];
}

// The points of a chart: what was, and what is foreseen; the band begins where the load ends.
function seriesOf(shard) {
  const band = shard.bands.cpu_cores ?? { starts: [], expected: [], target: [] };
  const [times, load] = since(shard.history_at, shard.history, historyFrom(shard.history_at, band.starts));
  const joint = load.length && band.starts.length ? [load.at(-1)] : [];
  return {
    times, load,
    ahead: [...(joint.length ? [times.at(-1)] : []), ...band.starts],
    expected: [...joint, ...band.expected],
    target: [...joint, ...band.target],
  };
}

function scales(series, width, height) {
  const all = [...series.times, ...series.ahead].map(Date.parse);
  const [first, last] = [Math.min(...all), Math.max(...all)];
  const top = Math.max(TOP_MIN, ...series.load, ...series.target) * 1.04;
  const [plotWidth, plotHeight] = [width - EDGE.left - EDGE.right, height - EDGE.top - EDGE.bottom];
  return {
    first, last, top,
    x: (time) => EDGE.left + (last > first ? ((Date.parse(time) - first) / (last - first)) * plotWidth : 0),
    y: (share) => EDGE.top + (1 - Math.min(share, top) / top) * plotHeight,
    right: width - EDGE.right,
    bottom: height - EDGE.bottom,
  };
}

const path = (points) => points.map(([x, y], row) => `${row ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function axes(scale, width) {
  const step = scale.top > 4 ? Math.ceil(scale.top / 4) : scale.top > 2 ? 1 : 0.5;
  const nodes = [];
  for (let share = 0; share <= scale.top; share += step) {
    nodes.push(svg("line", { class: "grid", x1: EDGE.left, x2: scale.right, y1: scale.y(share), y2: scale.y(share) }),
      svg("text", { x: EDGE.left - 5, y: scale.y(share) + 3.5, "text-anchor": "end" }, percent(share)));
  }
  for (const at of roundTimes(scale.first, scale.last, Math.max(1, Math.floor((width - EDGE.left) / LABEL_PX)))) {
    nodes.push(svg("text", { x: scale.x(at), y: scale.bottom + 15, "text-anchor": "middle" }, minuteTime(at)));
  }
  return nodes;
}

// At most so many round times within a span, evenly apart; those too near to the ends for a label are left out.
function roundTimes(first, last, most) {
  const edge = (last - first) / 20;
  const step = STEPS_MIN.map((minutes) => minutes * 60_000).find((each) => (last - first) / each <= most) ?? DAY_MS;
  const times = [];
  for (let at = Math.ceil((first + edge) / step) * step; at <= last - edge; at += step) times.push(new Date(at).toISOString());
  return times;
}

function marks(scale, series, headroom) {
  const across = (share, kind) => svg("line", { class: kind, x1: EDGE.left, x2: scale.right, y1: scale.y(share), y2: scale.y(share) });
  const along = (times, values) => times.map((time, row) => [scale.x(time), scale.y(values[row])]);
  const outline = [...along(series.ahead, series.target), ...along(series.ahead, series.expected).reverse()];
  const now = series.times.length ? scale.x(series.times.at(-1)) : null;
  return [
    across(1, "capacity"), across(headroom, "headroom"),
    ...(now === null ? [] : [svg("line", { class: "now", x1: now, x2: now, y1: EDGE.top, y2: scale.bottom })]),
    svg("path", { class: "band", d: outline.length ? `${path(outline)}Z` : "" }),
    svg("path", { class: "median", d: path(along(series.ahead, series.expected)) }),
    svg("path", { class: "target", d: path(along(series.ahead, series.target)) }),
    svg("path", { class: "load", d: path(along(series.times, series.load)) }),
  ];
}

// What is under the pointer, in words.
function underPointer(scale, series, targetName) {
  const cross = svg("line", { class: "cross", y1: EDGE.top, y2: scale.bottom });
  const words = svg("text", { class: "under", y: EDGE.top + 8 });
  const group = svg("g", { class: "pointer", visibility: "hidden" }, cross, words);
  const points = [
    ...series.times.map((time, row) => [time, `${minuteTime(time)} load ${percent(series.load[row])}`]),
    ...series.ahead.slice(1).map((time, row) => [time, `${minuteTime(time)} median ${percent(series.expected[row + 1])}, ${targetName} ${percent(series.target[row + 1])}`]),
  ].map(([time, text]) => [scale.x(time), text]);
  return [group, (px) => {
    if (!points.length) return;
    const [x, text] = points.reduce((best, each) => (Math.abs(each[0] - px) < Math.abs(best[0] - px) ? each : best));
    const late = x > (EDGE.left + scale.right) / 2;
    group.setAttribute("visibility", "visible");
    cross.setAttribute("x1", x);
    cross.setAttribute("x2", x);
    words.setAttribute("x", late ? x - 5 : x + 5);
    words.setAttribute("text-anchor", late ? "end" : "start");
    words.textContent = text;
  }];
}

const drawn = new WeakMap(); // node -> [shard, headroom, targetName]

function render(node) {
  const [shard, headroom, targetName] = drawn.get(node);
  const [width, height] = [node.clientWidth, node.clientHeight];
  const series = seriesOf(shard);
  if (!width || !(series.times.length + series.ahead.length)) return;
  const scale = scales(series, width, height);
  const [group, point] = underPointer(scale, series, targetName);
  const chart = svg("svg", { class: "load-chart", width, height, "aria-hidden": "true" }, ...axes(scale, width), ...marks(scale, series, headroom), group);
  chart.addEventListener("pointermove", (event) => point(event.offsetX));
  chart.addEventListener("pointerleave", () => group.setAttribute("visibility", "hidden"));
  node.replaceChildren(chart);
}

const sizes = new ResizeObserver((entries) => requestAnimationFrame(() => {
  for (const { target } of entries) if (target.isConnected && drawn.has(target) && target.firstChild?.clientWidth !== target.clientWidth) render(target);
}));

export function drawShard(node, shard, headroom, targetName) {
  drawn.set(node, [shard, headroom, targetName]);
  render(node);
  sizes.observe(node);
}

// Figures and times as people read them. Times are trace time, always in UTC. No state, no DOM except `element`.

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const RATE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

const LARGE = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (value) => (value >= 100_000 ? LARGE : COUNT).format(value);
export const rate = (value) => (value >= 10_000 ? LARGE : value >= 1000 ? COUNT : RATE).format(value);
export const percent = (share) => `${Math.round(share * 100)} %`;

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export const secondsBetween = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;
export const dateTime = (iso) => `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
export const clockTime = (iso) => iso.slice(11, 19);
export const minuteTime = (iso) => iso.slice(11, 16);
export const words = (code) => code.replaceAll("_", " ");

// Makes an element; children are nodes or text, and text stays text whatever it holds.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const pill = (text, tone = "idle") => element("span", { class: "pill", "data-tone": tone }, text);

export const term = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, value));

// Calls `draw` only when the data differ from those it was last called with, so that focus and scroll survive a poll.
export function whenChanged(draw) {
  let last;
  return (data, ...more) => {
    const text = JSON.stringify([data, ...more]);
    if (text === last) return;
    last = text;
    draw(data, ...more);
  };
}

// Figures and times as people read them. Times are in UTC. No state, no DOM.

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const RATE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const LARGE = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const UNITS = ["B", "kB", "MB", "GB", "TB"];

export const UNKNOWN = "–";
const known = (write) => (value) => (value === null || value === undefined ? UNKNOWN : write(value));

export const count = known((value) => (value >= 100_000 ? LARGE : COUNT).format(value));
export const rate = known((value) => (value > 0 && value < 0.001 ? "<0.001" : (value >= 10_000 ? LARGE : value >= 1000 ? COUNT : RATE).format(value)));
export const percent = known((share) => `${Math.round(share * 100)} %`);
export const finePercent = known((share) => `${(share * 100).toFixed(1)} %`);
export const fixed = (value, digits = 2) => known((number) => number.toFixed(digits))(value);

export const bytes = known((value) => {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${RATE.format(value / 1000 ** power)} ${UNITS[power]}`;
});

export const duration = known((seconds) => {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  if (minutes >= 48 * 60) return `${Math.round(minutes / 1440)} days`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
});

export const secondsBetween = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;
export const dateTime = known((iso) => `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`);
export const momentTime = known((iso) => `${iso.slice(0, 10)} ${iso.slice(11, 19)}`);
export const clockTime = known((iso) => iso.slice(11, 19));
export const minuteTime = known((iso) => iso.slice(11, 16));
const RESOURCES = { cpu_cores: "CPU", memory_bytes: "memory", io_bytes_per_s: "I/O" };
const AMOUNTS = { cpu_cores: (value) => `${rate(value)} ${value === 1 ? "core" : "cores"}`, memory_bytes: bytes, io_bytes_per_s: (value) => `${bytes(value)}/s` };
export const amount = (resource, value) => known(AMOUNTS[resource] ?? rate)(value);
export const resourceName = (code) => RESOURCES[code] ?? words(code);
export const words = (code) => String(code).replaceAll("_", " ");
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// Whether a name fits a pattern with *, ? and [abc], as the service's own patterns do.
export function fits(pattern, name) {
  const source = pattern.replace(/[.+^${}()|\\]/g, "\\$&").replaceAll("*", "[^]*").replaceAll("?", "[^]").replaceAll("[!", "[^");
  try {
    return new RegExp(`^${source}$`).test(name);
  } catch {
    return pattern === name;
  }
}

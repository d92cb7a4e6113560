// The settings in force, to read; a secret shows only whether it is set.

import { ask } from "./api.js";
import { element, empty, fill, panel, pill, table } from "./dom.js";
import { plural, words } from "./format.js";
import { field, input, part } from "./live.js";

const GENERAL = "general";
const tableOf = (key) => (key.includes(".") ? key.split(".")[0] : GENERAL);

function written(value) {
  if (value === null || value === "") return "–";
  if (Array.isArray(value)) return value.length ? value.map(written).join(", ") : "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const inForce = (each) => (each.secret ? (each.changed ? "set, not shown" : "not set") : written(each.value));

function section(name, settings) {
  const [box, body] = panel(words(name));
  const mono = (text) => element("span", { class: "mono" }, text);
  body.classList.add("settings");
  body.append(table(`Settings: ${name}`, [
    { label: "Setting", head: true, cell: (each) => mono(each.key) },
    { label: "In force", cell: (each) => mono(inForce(each)) },
    { label: "Default", cell: (each) => mono(each.secret ? "–" : written(each.default)) },
    { label: "Changed", cell: (each) => (each.changed ? pill("yes", "warn") : "") },
  ], settings));
  return box;
}

export function open(page) {
  const search = input("search", { type: "search" });
  const changed = element("input", { type: "checkbox", id: "only-changed" });
  const filters = element("form", { class: "filters", role: "search" }, field("Search settings", search),
    element("div", { class: "check" }, changed, element("label", { for: "only-changed" }, "only changed ones")));
  const total = element("p", { class: "aside", role: "status" });
  const body = element("div", { class: "stack" });
  page.root.append(page.heading("Settings", filters), element("p", { class: "lead" },
    "What the balancer runs with since its start: plb.toml, overridden by the environment. What may change while it runs is on the page Orders."), total, body);
  let all = [];
  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const found = all.filter((each) => each.key.toLowerCase().includes(wanted) && (!changed.checked || each.changed));
    const tables = [...new Set(found.map((each) => tableOf(each.key)))];
    total.textContent = plural(found.length, "setting");
    fill(body, found.length ? tables.map((name) => section(name, found.filter((each) => tableOf(each.key) === name))) : empty("None fits."));
  }
  part(page.signal, body, 0, () => ask("settings"), ({ items }) => { all = items; draw(); });
  search.addEventListener("input", draw);
  changed.addEventListener("change", draw);
  filters.addEventListener("submit", (event) => event.preventDefault());
}

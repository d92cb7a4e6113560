// The calendar of what is known ahead: list, add, change, import, remove.

import { ask, enc, send } from "./api.js";
import { button, element, fill, panel, pill, table } from "./dom.js";
import { dateTime, plural, words } from "./format.js";
import { action, answerLine, field, form, input, part } from "./live.js";
import { listOf, localOf, utcOf } from "./form_lines.js";

const REFRESH_MS = 10_000;
const MOST = 500;
const TYPES = { csv: "text/csv", ics: "text/calendar", json: "application/json" };
const KINDS = ["campaign", "match", "holiday", "maintenance"];

function when(event, now) {
  if (!now) return null;
  if (Date.parse(event.end) <= Date.parse(now)) return pill("over");
  return Date.parse(event.start) <= Date.parse(now) ? pill("now", "warn") : pill("ahead", "good");
}

function addForm(refresh) {
  const kinds = element("datalist", { id: "kinds" }, KINDS.map((kind) => element("option", { value: kind })));
  const id = input("event_id", { placeholder: "made from the content" });
  const fields = [
    field("Name", input("name")), field("Kind", input("kind", { list: "kinds", required: true }), "a word"),
    field("From, UTC", input("start", { type: "datetime-local", required: true })), field("To, UTC", input("end", { type: "datetime-local", required: true })),
    field("Order params", input("order_params", { placeholder: "all, or JFK-*, LGA-*" }), "names or patterns, with commas between"), field("Id", id, "replaces the event with this id"), kinds];
  return form("Put an event", fields, "Put into the calendar", async (values, made) => {
    const put = await send("POST", "events", {
      event_id: values.get("event_id") || null, kind: values.get("kind"), name: values.get("name"),
      start: utcOf(values.get("start")), end: utcOf(values.get("end")), order_params: listOf(values.get("order_params")) });
    made.reset();
    await refresh();
    return `${put.name || put.event_id} is in the calendar.`;
  });
}

function importForm(refresh) {
  const file = element("input", { type: "file", name: "file", accept: ".csv,.ics,.json", required: true });
  const fields = [field("File", file, "CSV, iCalendar or JSON"), field("Time zone", input("zone", { placeholder: "UTC" }), "of times without an offset, as Europe/Berlin")];
  return form("Import a calendar", fields, "Import", async (values, made) => {
    const chosen = values.get("file");
    const type = TYPES[chosen.name.split(".").pop().toLowerCase()];
    if (!type) throw new Error("the file's name does not end with .csv, .ics or .json");
    const change = await send("POST", "events:import", await chosen.text(), { type, parameters: { zone: values.get("zone") } });
    made.reset();
    await refresh();
    return `${change.added} added, ${change.changed} changed, ${change.unchanged} unchanged.`;
  });
}

// Fills the form with an event, to be changed and put again.
function edit(made, event) {
  const set = (name, value) => { made.elements[name].value = value; };
  set("event_id", event.event_id);
  set("name", event.name);
  set("kind", event.kind);
  set("start", localOf(event.start));
  set("end", localOf(event.end));
  set("order_params", event.order_params.join(", "));
  made.elements.name.focus();
}

export function open(page) {
  const [box, body, aside] = panel("Calendar");
  const [addPanel, addBody] = panel("Put an event");
  const [importPanel, importBody] = panel("Import a calendar");
  const answer = answerLine();
  const list = element("div", {});
  body.append(answer, list);
  let now = null;
  page.onStatus((status) => { now = status.at; });

  const adding = addForm(() => refresh());
  const buttons = (event) => element("div", { class: "actions" },
    button("Change", () => edit(adding, event), { class: "small", "aria-label": `Change ${event.name || event.event_id}` }),
    remove(event));
  const remove = (event) => {
    const label = event.name || event.event_id;
    const made = action("Remove", answer, async () => {
      await send("DELETE", `events/${enc(event.event_id)}`);
      await refresh();
      return `${label} is removed.`;
    }, { question: `Remove ${label} from the calendar?`, tone: "bad", key: `remove ${event.event_id}` });
    made.classList.add("small");
    made.setAttribute("aria-label", `Remove ${label}`);
    return made;
  };

  const refresh = part(page.signal, list, REFRESH_MS, () => ask("events"), ({ items }) => {
    const newest = [...items].reverse();
    aside.textContent = items.length > MOST ? `the last ${MOST} of ${plural(items.length, "event")}` : plural(items.length, "event");
    fill(list, table("Events", [
      { label: "Event", head: true, cell: (event) => element("span", { class: "name", title: event.event_id }, event.name || event.event_id) },
      { label: "When", cell: (event) => when(event, now) ?? "" },
      { label: "From", nowrap: true, cell: (event) => dateTime(event.start) },
      { label: "To", nowrap: true, cell: (event) => dateTime(event.end) },
      { label: "Kind", cell: (event) => words(event.kind) },
      { label: "Order params", cell: (event) => event.order_params.join(", ") || "all" },
      { label: "Change", cell: buttons },
    ], newest.slice(0, MOST), "The calendar is empty. What you put here, forecasts take into account."));
  });
  addBody.append(adding);
  importBody.append(importForm(() => refresh()));
  page.root.append(page.heading("Events"), element("p", { class: "lead" }, "Campaigns, matches, holidays, maintenance: what is known ahead, and forecasters learn from."),
    box, element("div", { class: "columns" }, addPanel, importPanel));
}

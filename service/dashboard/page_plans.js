// Plans: the latest, one made now on demand, and those that are kept: saved, waiting for approval, carried out.

import { ask, send } from "./api.js";
import { element, empty, fill, link, panel, pill, table } from "./dom.js";
import { count, momentTime, words } from "./format.js";
import { field, form, input, part, select } from "./live.js";
import { number } from "./form_lines.js";
import { loadsView } from "./loads.js";
import { moveRow, planAside, planMeasures, planNotes, changeCards } from "./plans.js";

const REFRESH_MS = 3000;
export const STATES = { saved: "idle", awaiting: "warn", approved: "idle", executing: "warn", executed: "good", cancelled: "idle", expired: "idle", refused: "bad" };

export const planHref = (planId) => `#/plans/${encodeURIComponent(planId)}`;

function dryRunForm(body, aside) {
  return form("Plan now", [], "Plan now, act on nothing", async () => {
    const plan = await send("POST", "plans:dry-run");
    fill(aside, ...planAside(plan));
    const [loads, showLoads] = loadsView();
    showLoads(plan.loads);
    fill(body, planMeasures(plan), ...planNotes(plan), loads, ...(plan.moves.length
      ? [changeCards(plan.moves, plan.loads), element("ul", { class: "rows" }, plan.moves.map(moveRow))]
      : [empty("Nothing to move: no shard's expected load is over its headroom.")]));
    return plan.moves.length ? "This is what a tick would do now." : "A tick would move nothing now.";
  });
}

function saveForm(refresh) {
  const fields = [field("Note", input("note", { maxlength: 500 }), "for those who decide on it"), field("Expires after, hours", input("expires_h", { type: "number", min: 0.01, max: 8784, step: "any", value: "24", required: true }))];
  return form("Save a plan", fields, "Save what a tick would do now", async (values, made) => {
    const saved = await send("POST", "plans", { note: values.get("note"), expires_s: number(values.get("expires_h")) * 3600 });
    made.reset();
    await refresh();
    location.hash = planHref(saved.plan_id);
    return "It is saved.";
  });
}

export function open(page) {
  const state = select("state", [["", "all"], ...Object.keys(STATES).map((each) => [each, words(each)])]);
  const [keptPanel, kept] = panel("Kept plans");
  const list = element("div", {});
  const filters = element("form", { class: "filters", role: "search" }, field("State", state));
  kept.append(filters, list);
  const refresh = part(page.signal, list, REFRESH_MS, () => ask("plans", { state: state.value }), ({ items }) => fill(list, table("Kept plans, newest first", [
    { label: "Plan", head: true, cell: (each) => link(planHref(each.plan_id), each.plan_id, { "data-key": `plan ${each.plan_id}` }) },
    { label: "State", cell: (each) => pill(words(each.state), STATES[each.state]) },
    { label: "Moves", number: true, cell: (each) => count(each.moves.length) },
    { label: "Made", nowrap: true, cell: (each) => momentTime(each.made_at) },
    { label: "By", cell: (each) => each.made_by },
    { label: "Note", text: true, cell: (each) => each.note },
  ], items, state.value ? "None is in this state." : "None is kept. Save one below, or order that plans wait for approval.")));
  state.addEventListener("change", refresh);
  filters.addEventListener("submit", (event) => event.preventDefault());

  const [nowPanel, now, aside] = panel("What a tick would do now");
  const result = element("div", {});
  now.append(dryRunForm(result, aside), result);
  const [savePanel, save] = panel("Save a plan");
  save.append(saveForm(() => refresh()));
  page.root.append(page.heading("Plans", link("#/plans/latest", "Review the latest plan", { class: "button" })), keptPanel, nowPanel, savePanel);
}

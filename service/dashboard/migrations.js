// A migration as a row of a list, and its steps.

import { element, link, orderParamLink, way } from "./dom.js";
import { clockTime, count, duration, percent, secondsBetween } from "./format.js";

export const STEPS = ["prepare", "precopied", "paused", "sealing", "sealed", "activating", "mapped", "done"];
export const UNDOABLE = new Set(["prepare", "precopied", "paused"]);
const PAUSING = new Set(["paused", "sealing", "sealed", "activating"]);

export const stepTone = (step) => ({ done: "good", aborted: "bad" })[step];
export const stepName = (step) => (step === "aborted" ? "rolled back" : step);
export const migrationHref = (migrationId) => `#/migrations/${encodeURIComponent(migrationId)}`;

export function copiedShare(migration) {
  if (migration.finished || migration.mode === "chain" || !migration.lag_messages) return null;
  return migration.messages_copied / (migration.messages_copied + migration.lag_messages);
}

export function copied(migration) {
  if (migration.mode === "chain") return "backlog stays";
  const text = `${count(migration.messages_copied)} copied`;
  const share = copiedShare(migration);
  if (share === null) return text;
  return migration.eta_s === null ? `${text}, ${percent(share)}` : `${text}, ${percent(share)}, ${duration(migration.eta_s)} left`;
}

export function paused(migration) {
  if (migration.pause_ms !== null) return `paused ${duration(migration.pause_ms / 1000)}`;
  return PAUSING.has(migration.step) ? "paused now" : "not paused";
}

export function stepDots(step) {
  const passed = step === "aborted" ? STEPS.length : STEPS.indexOf(step) + 1;
  return element("span", { class: "steps", "aria-hidden": "true" }, STEPS.map((_, row) => element("i", { class: row < passed ? "passed" : null })));
}

export function migrationRow(migration) {
  const took = migration.finished_at ? ` · ${duration(secondsBetween(migration.started_at, migration.finished_at))}` : "";
  const when = `${clockTime(migration.started_at)}${took}`;
  return element("li", { "data-tone": stepTone(migration.step), "data-migration": migration.migration_id },
    element("div", { class: "row-head" },
      orderParamLink(migration.order_param), way(migration.source, migration.destination),
      migration.mode === "chain" ? element("span", { class: "mode" }, "chained") : null,
      link(migrationHref(migration.migration_id), when, {
        class: "when", "data-key": `migration ${migration.migration_id}`, "aria-label": `Migration of ${migration.order_param}, ${when}` })),
    element("div", { class: "progress" },
      stepDots(migration.step),
      element("b", {}, stepName(migration.step)),
      element("span", { class: "figure" }, copied(migration)),
      element("span", { class: "figure" }, paused(migration))),
    migration.error ? element("p", { class: "why" }, migration.error) : null);
}

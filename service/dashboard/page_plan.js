// The review of one plan: reasons, before and after, what changes where, how it differs from a plan made now; and approval.

import { ask, enc, send } from "./api.js";
import { element, empty, fill, note, panel, pill, table, terms, whenChanged } from "./dom.js";
import { count, momentTime, plural, words } from "./format.js";
import { action, answerLine, part } from "./live.js";
import { inOneSentence, loadsBeside, loadsView } from "./loads.js";
import { PLAN_TONES, changeCards, moveRow, planAside, planDifference, planMeasures, planNotes } from "./plans.js";
import { STATES } from "./page_plans.js";

const REFRESH_MS = 2000;
const LATEST = "latest";
const MOVES_MOST = 500;
const MAY = { saved: ["approve", "execute", "cancel"], awaiting: ["approve", "cancel"], approved: ["execute", "cancel"], executing: ["cancel"] };

function movesList(moves, none) {
  if (!moves.length) return empty(none);
  const left = moves.length - MOVES_MOST;
  return element("div", {}, element("ul", { class: "rows" }, moves.slice(0, MOVES_MOST).map(moveRow)),
    left > 0 ? element("p", { class: "why" }, `and ${plural(left, "more move")}`) : null);
}

// How the plan differs from what would be planned at this moment: asked for, because planning takes its time.
function comparison(planOf) {
  const [box, body] = panel("Against a plan made now");
  const answer = answerLine();
  const result = element("div", {});
  const compare = action("Compare", answer, async () => {
    const fresh = await send("POST", "plans:dry-run");
    const [gone, added, both] = planDifference(planOf().moves, fresh.moves);
    fill(result, terms(["in both", count(both.length)], ["only in this plan", count(gone.length)], ["only in the new one", count(added.length)]),
      gone.length ? [element("h3", { class: "more" }, "Only in this plan"), movesList(gone)] : null,
      added.length ? [element("h3", { class: "more" }, "Only in a plan made now"), movesList(added)] : null,
      planOf().loads && fresh.loads ? [element("h3", { class: "more" }, "Load after either plan"), loadsBeside(planOf().loads, fresh.loads)] : null);
    return gone.length || added.length ? "They differ." : "A plan made now has the same moves.";
  });
  body.append(element("div", { class: "actions" }, compare, answer), result);
  return box;
}

function keptState(kept) {
  return terms(
    ["state", pill(words(kept.state), STATES[kept.state])], ["made", `${momentTime(kept.made_at)} UTC by ${kept.made_by}`],
    ["expires", `${momentTime(kept.expires_at)} UTC`], ["mode", words(kept.mode)],
    kept.note ? ["note", kept.note] : null);
}

function life(kept) {
  return [element("h3", { class: "more" }, "What happened to it"), table("What happened to the plan", [
    { label: "When, UTC", nowrap: true, head: true, cell: (each) => momentTime(each.at) },
    { label: "State", cell: (each) => pill(words(each.state), STATES[each.state]) },
    { label: "By", cell: (each) => each.who },
    { label: "Why", text: true, cell: (each) => each.why },
  ], kept.history)];
}

function keptActions(kept, answer, refresh) {
  const path = `plans/${enc(kept.plan_id)}`;
  const order = (what, said) => async () => { await send("POST", `${path}/${what}`); await refresh(); return said; };
  const may = new Set(MAY[kept.state] ?? []);
  const moves = plural(kept.moves.length, "move");
  const outcome = inOneSentence(kept.loads);
  return element("div", { class: "actions" },
    may.has("approve") ? action("Approve", answer, order("approve", "It is approved."), { question: `Approve this plan with ${moves}? ${outcome}` }) : null,
    may.has("execute") ? action("Run it", answer, order("execute", "It was checked again; its state says what came of it."), { question: `Run this plan with ${moves}? ${outcome}` }) : null,
    may.has("cancel") ? action("Cancel the plan", answer, order("cancel", "It is cancelled."), { question: "Cancel this plan?", tone: "bad" }) : null,
    answer);
}

export function open(page) {
  const [planId] = page.args;
  const latest = planId === LATEST;
  const [whatPanel, what, aside] = panel("What it does");
  const [changePanel, changes] = panel("What changes, shard by shard");
  const [movesPanel, moves] = panel("Moves, and why");
  const answer = answerLine();
  let shown = null;
  const [loadPanel, loadBody] = panel("Load of each shard, before and after");
  const [loads, showLoads] = loadsView();
  loadBody.append(loads);
  const drawLoads = whenChanged(showLoads);
  page.root.append(page.heading(latest ? "Latest plan" : planId), whatPanel, loadPanel, changePanel, movesPanel, comparison(() => shown));
  const refresh = part(page.signal, what, REFRESH_MS, () => ask(`plans/${enc(planId)}`), (plan) => {
    shown = plan;
    fill(aside, ...(latest ? planAside(plan) : [pill(words(plan.plan_status), PLAN_TONES[plan.plan_status])]));
    const last = latest ? null : plan.history.at(-1);
    fill(what,
      latest ? null : [keptState(plan), keptActions(plan, answer, () => refresh())],
      last?.why ? note(last.why, plan.state === "refused" ? "bad" : "idle") : null,
      planMeasures(plan), ...planNotes(plan), latest ? null : life(plan));
    drawLoads(plan.loads);
    fill(changes, plan.moves.length ? changeCards(plan.moves, plan.loads) : empty("Nothing changes."));
    fill(moves, movesList(plan.moves, "Nothing to move: no shard's expected load is over its headroom."));
  });
}

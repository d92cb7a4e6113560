// One migration, followed by server-sent events until it ends.

import { address, ask, enc, send } from "./api.js";
import { element, fill, note, orderParamLink, panel, pill, say, table, terms, way } from "./dom.js";
import { bytes, count, duration, momentTime, percent, secondsBetween } from "./format.js";
import { action, answerLine, failure } from "./live.js";
import { UNDOABLE, copied, copiedShare, paused, stepDots, stepName, stepTone } from "./migrations.js";

function progressBar(migration) {
  const share = copiedShare(migration);
  if (share === null) return null;
  return element("progress", { class: "copying", max: 1, value: share, "aria-label": `Backlog copied: ${percent(share)}` });
}

function state(migration) {
  const until = migration.finished_at;
  return [
    element("div", { class: "progress", "data-tone": stepTone(migration.step) }, stepDots(migration.step), element("b", {}, stepName(migration.step)),
      element("span", { class: "figure" }, copied(migration)), element("span", { class: "figure" }, paused(migration))),
    progressBar(migration),
    terms(
      ["order param", orderParamLink(migration.order_param)],
      ["way", way(migration.source, migration.destination)],
      ["kind", migration.mode === "chain" ? "chained" : "copied"],
      ["epoch before", count(migration.epoch)],
      ["started", momentTime(migration.started_at)],
      until ? ["took", duration(secondsBetween(migration.started_at, until))] : ["time left", duration(migration.eta_s)],
      ["copied", `${count(migration.messages_copied)} messages, ${bytes(migration.bytes_copied)}`]),
    element("p", { class: "why" }, migration.reason),
    migration.error ? note(migration.error, "bad") : null,
  ];
}

function timeline(moments) {
  return table("Steps", [
    { label: "Step", head: true, cell: (each) => stepName(each.step) },
    { label: "Reached", nowrap: true, cell: (each) => momentTime(each.at) },
    { label: "Copied", number: true, cell: (each) => count(each.messages_copied) },
    { label: "Left", number: true, cell: (each) => count(each.lag_messages) },
    { label: "Pause", number: true, cell: (each) => (each.pause_ms === null ? "–" : duration(each.pause_ms / 1000)) },
    { label: "Failure", text: true, cell: (each) => each.error },
  ], moments);
}

export async function open(page) {
  const [migrationId] = page.args;
  const [nowPanel, now, connection] = panel("Now");
  const [timePanel, steps] = panel("Timeline");
  const answer = answerLine();
  const actions = element("div", { class: "actions" });
  page.root.append(page.heading("Migration"), element("p", { class: "lead mono" }, migrationId), nowPanel, timePanel);

  let latest;
  try {
    latest = await ask(`migrations/${enc(migrationId)}`);
  } catch (error) {
    fill(now, failure(error));
    return;
  }
  const moments = new Map(latest.timeline.map((each, row) => [row + 1, each]));

  const cancel = action("Roll it back", answer, async () => {
    await send("POST", `migrations/${enc(migrationId)}/cancel`);
    return "It serves on its source again.";
  }, { question: `Roll the migration of ${latest.order_param} back?`, tone: "bad" });
  actions.append(cancel, answer);

  function draw(migration) {
    cancel.hidden = !UNDOABLE.has(migration.step);
    fill(now, ...state(migration), actions);
    fill(steps, timeline([...moments.values()]));
  }

  function follow() {
    const events = new EventSource(address(`migrations/${enc(migrationId)}/events`));
    page.signal.addEventListener("abort", () => events.close());
    connection.replaceChildren(pill("live", "good"));
    events.addEventListener("step", ({ data, lastEventId }) => {
      const migration = JSON.parse(data);
      moments.set(Number(lastEventId), migration);
      if (migration.step !== latest.step) say(`The migration is at ${stepName(migration.step)}.`);
      draw((latest = migration));
      if (migration.finished) { events.close(); connection.replaceChildren(pill("ended")); }
    });
    events.addEventListener("progress", ({ data }) => draw((latest = JSON.parse(data))));
    events.addEventListener("problem", ({ data }) => { events.close(); connection.replaceChildren(pill("not followed", "bad")); answer.textContent = JSON.parse(data).detail; });
    events.addEventListener("open", () => connection.replaceChildren(pill("live", "good")));
    events.addEventListener("error", () => { if (events.readyState !== EventSource.CLOSED) connection.replaceChildren(pill("connecting again", "warn")); });
  }

  draw(latest);
  if (latest.finished) connection.replaceChildren(pill("ended"));
  else follow();
}

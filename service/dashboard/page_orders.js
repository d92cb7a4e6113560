// What the operator has ordered: mode, pause, approval, and rules about order params and shards. Orders stand until withdrawn.

import { ask, enc, send } from "./api.js";
import { element, empty, fill, note, orderParamLink, panel, pill, terms, whenChanged } from "./dom.js";
import { momentTime, words } from "./format.js";
import { action, answerLine, field, form, part, select } from "./live.js";
import { listOf } from "./form_lines.js";
import { nameField } from "./name_input.js";

const REFRESH_MS = 3000;
const MODES = {
  auto: "forecast only until the forecasts have proved themselves, predictive from then on",
  predictive: "plans on the forecast and migrates",
  balance: "the same, and evens the load out when nothing is over",
  relief: "relieves only what is over, or about to be, with the fewest moves",
  forecast_only: "plans and shows the plan, migrates nothing",
  static: "observes only",
};
const AS_SET = "as_set";

// A list of standing orders with a button to withdraw each.
function standing(items, none) {
  return items.length ? element("ul", { class: "rows" }, items) : empty(none);
}

function row(what, withdraw) {
  return element("li", {}, element("div", { class: "actions" }, element("span", {}, what), withdraw));
}

export function open(page) {
  const [nowPanel, now, aside] = panel("Now");
  const answer = answerLine();
  const state = element("div", {});
  now.append(state, answer);
  let refresh = () => {};

  // Makes the function that sends an order and shows what stands then.
  const order = (method, path, body, said) => async () => {
    await send(method, `balancer${path}`, body);
    await refresh();
    page.askStatus();
    return said;
  };
  const withdraw = (path, what) => {
    const made = action("Withdraw", answer, order("DELETE", path, undefined, `${what} is withdrawn.`), { key: path });
    made.setAttribute("aria-label", `Withdraw: ${what}`);
    made.classList.add("small");
    return made;
  };

  const mode = select("mode", [...Object.keys(MODES).map((each) => [each, words(each)]), [AS_SET, "as set"]]);
  const modes = element("ul", { class: "whole" }, Object.entries({ ...MODES, [AS_SET]: "no order: what balancer.mode says counts" }).map(([each, text]) => element("li", { class: "why" }, element("b", {}, words(each)), `: ${text}`)));
  const modeForm = form("Mode", [field("Mode", mode), modes], "Set the mode",
    (values) => order("PATCH", "", { mode: values.get("mode") === AS_SET ? null : values.get("mode") }, `The mode is ${words(values.get("mode"))}.`)());

  const lists = Object.fromEntries(["pins", "forbidden", "spread", "drains", "fills"].map((name) => [name, element("div", {})]));
  const shardFields = { forbid: select("shard", []), drain: select("shard", []), fill: select("shard", []) };
  page.onStatus(whenChanged(({ shards }) => {
    for (const control of Object.values(shardFields)) {
      const chosen = control.value;
      fill(control, shards.map((each) => element("option", { value: each.shard_id }, each.shard_id)));
      if (chosen) control.value = chosen;
    }
  }));
  let latest = null;

  function draw(balancer) {
    latest = balancer;
    aside.textContent = balancer.changed_at ? `last changed ${momentTime(balancer.changed_at)} UTC by ${balancer.changed_by}` : "never changed";
    const { mode: ordered, effective_mode: effective } = balancer;
    if (document.activeElement !== mode) mode.value = ordered;
    fill(state,
      note(balancer.why, "idle"),
      terms(
        ["mode", ordered === effective ? words(ordered) : `${words(ordered)}, now ${words(effective)}`],
        ["new plans and moves", pill(balancer.paused ? "paused" : "go on", balancer.paused ? "warn" : "good")],
        ["approval", pill(balancer.approval ? "plans wait for it" : "not needed", balancer.approval ? "warn" : "idle")]),
      element("div", { class: "actions" },
        balancer.paused
          ? action("Resume", answer, order("PATCH", "", { paused: false }, "The balancer goes on."), { key: "pause" })
          : action("Pause the balancer", answer, order("PATCH", "", { paused: true }, "Nothing is planned or sent until you resume; migrations under way go on."), { key: "pause" }),
        balancer.approval
          ? action("Let plans go without approval", answer, order("PATCH", "", { approval: false }, "Plans go by themselves."), { key: "approval" })
          : action("Ask me to approve plans", answer, order("PATCH", "", { approval: true }, "Plans wait for approval from now on."), { key: "approval" })));
    fill(lists.pins, standing(balancer.pinned.map((name) => row(orderParamLink(name), withdraw(`/pins/${enc(name)}`, `pin of ${name}`))), "None is pinned."));
    fill(lists.forbidden, standing(Object.entries(balancer.forbidden).map(([name, shards]) =>
      row(element("span", {}, orderParamLink(name), ` not on ${shards.join(", ")}`), withdraw(`/forbidden/${enc(name)}`, `what ${name} may not be on`))), "Each may be on any shard."));
    fill(lists.spread, standing(Object.entries(balancer.spread_groups).map(([group, names]) =>
      row(element("span", {}, element("b", {}, group), `: ${names.join(", ")}`), withdraw(`/spread-groups/${enc(group)}`, `group ${group}`))), "No groups."));
    fill(lists.drains, standing(balancer.draining.map((shard) => row(shard, withdraw(`/drains/${enc(shard)}`, `draining of ${shard}`))), "No shard is being emptied."));
    fill(lists.fills, standing(balancer.filling.map((shard) => row(shard, withdraw(`/fills/${enc(shard)}`, `filling of ${shard}`))), "Moves may go onto any shard."));
  }

  // One kind of order: a panel with what stands and a form for more.
  function kind(title, lead, list, fields, verb, act) {
    const [box, body] = panel(title);
    body.append(element("p", { class: "why" }, lead), list, form(title, fields, verb, act));
    return box;
  }

  page.root.append(
    page.heading("Orders"), element("p", { class: "lead" }, "What is ordered here stands until it is withdrawn, also after a restart; every decision keeps to it."),
    nowPanel,
    element("div", { class: "columns" },
      kind("Pins", "A pinned order param stays where it is.", lists.pins, [nameField("Order param", "name")], "Pin",
        (values) => order("PUT", `/pins/${enc(values.get("name"))}`, undefined, `${values.get("name")} is pinned.`)()),
      kind("Forbidden shards", "Where an order param may not be; it is moved away from there.", lists.forbidden,
        [nameField("Order param", "name"), field("Not on", shardFields.forbid)], "Forbid", (values) => {
          const name = values.get("name");
          const shards = [...new Set([...(latest?.forbidden[name] ?? []), values.get("shard")])];
          return order("PUT", `/forbidden/${enc(name)}`, { shards }, `${name} may not be on ${shards.join(", ")}.`)();
        })),
    element("div", { class: "columns" },
      kind("Spread groups", "No two order params of a group share a shard.", lists.spread,
        [field("Group", element("input", { name: "group", required: true })), nameField("Order params", "names", {}, "with commas between")], "Spread", (values) =>
          order("PUT", `/spread-groups/${enc(values.get("group"))}`, { order_params: listOf(values.get("names")) }, `Group ${values.get("group")} stands.`)()),
      kind("Drains", "A draining shard is emptied, and takes nothing.", lists.drains, [field("Shard", shardFields.drain)], "Drain", (values) =>
        order("PUT", `/drains/${enc(values.get("shard"))}`, undefined, `${values.get("shard")} is being emptied.`)())),
    element("div", { class: "columns" },
      kind("Fills", "While a shard is filled, moves go onto such shards only.", lists.fills, [field("Shard", shardFields.fill)], "Fill", (values) =>
        order("PUT", `/fills/${enc(values.get("shard"))}`, undefined, `${values.get("shard")} is being filled.`)())));
  now.append(modeForm);
  refresh = part(page.signal, state, REFRESH_MS, () => ask("balancer"), draw);
}

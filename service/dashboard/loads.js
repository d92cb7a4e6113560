// What a plan does to the load of each shard, for one resource at a time: a bar from before to after, and all of it in figures.

import { element, empty, fill, table } from "./dom.js";
import { UNKNOWN, amount, percent, plural, resourceName } from "./format.js";
import { switchOf } from "./live.js";

const NOT_KEPT = "Made by an earlier release, which did not write down the load of each shard.";
const SAME = 0.005; // shares that are shown as one percentage

const of = (shard, resource) => shard.resources.find((each) => each.resource === resource);
const resourcesOf = (loads) => (loads.shards[0]?.resources ?? []).map((each) => each.resource);
const changes = (each) => Math.abs(each.after - each.before) > SAME * (each.capacity ?? Math.max(each.before, each.after));

// The resource that a plan is about: the one of the highest share, before or after; the first one where all are next to nothing.
export function bindingResource(loads) {
  const shares = loads.shards.flatMap(({ resources }) => resources)
    .map((each) => [each.resource, Math.round(Math.max(each.utilisation_before ?? 0, each.utilisation_after ?? 0) / SAME)]);
  return shares.sort((a, b) => b[1] - a[1])[0]?.[0];
}

// "CPU 112 % → 79 %", or in units where the shard has no limit.
export function changeInWords(each) {
  const [before, after] = each.capacity === null
    ? [amount(each.resource, each.before), amount(each.resource, each.after)] : [percent(each.utilisation_before), percent(each.utilisation_after)];
  return `${resourceName(each.resource)} ${before === after ? after : `${before} → ${after}`}`;
}

// What a plan is about, in one sentence for those who are to decide on it: its fullest shard.
export function inOneSentence(loads) {
  const resource = loads && bindingResource(loads);
  if (!resource) return "";
  const worst = (when) => loads.shards.map((shard) => [shard.shard_id, of(shard, resource)[`utilisation_${when}`] ?? 0]).sort((a, b) => b[1] - a[1])[0];
  const [[before, was], [after, is]] = [worst("before"), worst("after")];
  return `The highest load foreseen goes from ${percent(was)} (${before}) to ${percent(is)} (${after}) of ${resourceName(resource)}.`;
}

const loadOf = (loads, shardId) => loads?.shards.find((each) => each.shard_id === shardId);

// The line about one shard, for the card that says what leaves it and what comes to it.
export function shardInWords(loads, shardId) {
  const shard = loadOf(loads, shardId);
  const parts = (shard?.resources ?? []).filter((each) => changes(each) || (each.utilisation_before ?? 0) > SAME).map(changeInWords);
  return parts.map((text, row) => element("span", { class: "nowrap" }, row < parts.length - 1 ? `${text} · ` : text));
}

function bar(each, top) {
  const made = element("div", { class: "load-bar", "aria-hidden": "true" });
  const part = (kind, from, to) => {
    const piece = element("i", { class: `load-${kind}` });
    piece.style.left = `${(100 * from) / top}%`;
    if (to !== undefined) piece.style.width = `${(100 * (to - from)) / top}%`;
    made.append(piece);
  };
  const { utilisation_before: before, utilisation_after: after } = each;
  part("kept", 0, Math.min(before, after));
  if (before !== after) part(after < before ? "gone" : "come", Math.min(before, after), Math.max(before, after));
  part("headroom", each.headroom);
  part("capacity", 1);
  return made;
}

const share = (value, each) => (each.capacity === null ? UNKNOWN : percent(value));

function rows(loads, resource) {
  const found = loads.shards.map((shard) => ({ shard_id: shard.shard_id, ...of(shard, resource) }));
  return [...found.filter(changes), ...found.filter((each) => !changes(each))];
}

function figures(loads, resource) {
  const items = rows(loads, resource);
  const top = 1.04 * Math.max(1, ...items.map((each) => Math.max(each.utilisation_before ?? 0, each.utilisation_after ?? 0)));
  const limited = items.some((each) => each.capacity !== null);
  const over = (value, each) => element("span", { class: value > each.headroom ? "over" : null }, share(value, each));
  return table(`Load of each shard before and after, ${resourceName(resource)}`, [
    { label: "Shard", head: true, nowrap: true, cell: (each) => each.shard_id },
    ...(limited ? [{ label: "Before → after", bar: true, cell: (each) => (each.capacity === null ? "" : bar(each, top)) }] : []),
    { label: "Before", number: true, cell: (each) => over(each.utilisation_before, each) },
    { label: "After", number: true, cell: (each) => element("strong", {}, over(each.utilisation_after, each)) },
    { label: "Measured", number: true, cell: (each) => share(each.utilisation_now, each) },
    { label: "Load before", number: true, cell: (each) => amount(resource, each.before) },
    { label: "Load after", number: true, cell: (each) => amount(resource, each.after) },
    { label: "Capacity", number: true, cell: (each) => (each.capacity === null ? "no limit" : amount(resource, each.capacity)) },
    { label: "Headroom", number: true, cell: (each) => percent(each.headroom) },
  ], items);
}

const LEGEND = [["kept", "after"], ["gone", "taken away"], ["come", "added"], ["headroom", "headroom"], ["capacity", "capacity"]];
const legend = () => element("ul", { class: "legend", "aria-label": "Legend of the bars" },
  LEGEND.map(([kind, text]) => element("li", {}, element("i", { class: `key key-load-${kind}` }), text)));

let views = 0;
// Returns [node, function that shows other loads]; the resource that was chosen stays.
export function loadsView() {
  const node = element("div", {});
  const name = `loads-${(views += 1)}`;
  let chosen = null;
  function show(loads) {
    if (!loads) return fill(node, empty(NOT_KEPT));
    if (!loads.shards.length) return fill(node, empty("There are no shards."));
    const resources = resourcesOf(loads);
    if (!resources.includes(chosen)) chosen = bindingResource(loads);
    const body = element("div", {});
    const draw = () => fill(body, figures(loads, chosen), loads.left_out
      ? element("p", { class: "why" }, `${plural(loads.left_out, "more shard")}, which no move touches, ${loads.left_out === 1 ? "is" : "are all"} below ${percent(loads.left_out_peak)}.`) : null);
    const [choice] = switchOf("Resource", name, resources.map((each) => [each, resourceName(each)]), chosen, (value) => { chosen = value; draw(); });
    fill(node, element("div", { class: "actions above" }, choice, legend()),
      element("p", { class: "why" }, "Before and after: the highest of what is measured and of all steps that the plan was made on."), body);
    return draw();
  }
  return [node, show];
}

// How the load after one plan differs from that after another, of the resource that the first is about.
export function loadsBeside(here, there) {
  const resource = bindingResource(here);
  const items = rows(here, resource).map((each) => ({ ...each, other: of(loadOf(there, each.shard_id) ?? { resources: [] }, resource) }));
  const differs = items.filter(({ other, ...each }) => !other || share(each.utilisation_after, each) !== share(other.utilisation_after, other));
  return table(`Load after either plan, ${resourceName(resource)}`, [
    { label: "Shard", head: true, cell: (each) => each.shard_id },
    { label: "After this plan", number: true, cell: (each) => share(each.utilisation_after, each) },
    { label: "After a plan made now", number: true, cell: ({ other }) => (other ? share(other.utilisation_after, other) : UNKNOWN) },
    { label: "Without a plan, seen now", number: true, cell: ({ other }) => (other ? share(other.utilisation_before, other) : UNKNOWN) },
  ], differs, `Both leave each shard at the same ${resourceName(resource)} load.`);
}

// All order params: searched, sorted and paged by the service, drawn as far as they are in sight.

import { ask } from "./api.js";
import { element, fill, orderParamLink, panel, whenChanged } from "./dom.js";
import { count, minuteTime, plural, rate } from "./format.js";
import { field, input, repeat, select } from "./live.js";
import { virtualTable } from "./virtual.js";

const REFRESH_MS = 3000;
const TYPING_MS = 150;

export function shardChain(shards) {
  return shards.flatMap((shard, row) => (row ? [element("span", { class: "chain" }, " then "), shard] : [shard]));
}

const COLUMNS = [
  { label: "Order param", sort: "name", head: true, wide: true, cell: (item) => orderParamLink(item.order_param) },
  { label: "Shards", cell: (item) => element("span", {}, ...shardChain(item.shards)) },
  { label: "Messages/s", sort: "rate", number: true, cell: (item) => rate(item.messages_per_s) },
  { label: "CPU cores", sort: "cpu", number: true, optional: true, cell: (item) => rate(item.load.cpu_cores) },
  { label: "Backlog", sort: "backlog", number: true, optional: true, cell: (item) => count(item.backlog) },
  { label: "Epoch", number: true, optional: true, cell: (item) => count(item.epoch) },
];

export function open(page) {
  const search = input("search", { type: "search", id: "search", placeholder: "part of a name", value: page.query.get("contains") ?? "" });
  const shard = select("shard", [["", "all shards"]], { id: "shard-filter" });
  const total = element("p", { class: "aside", id: "mapping-count", role: "status" });
  const looked = element("p", {});
  const filters = element("form", { class: "filters", role: "search" }, field("Search order params", search), field("Shard", shard));
  const asked = () => ({ contains: search.value, shard: shard.value });

  const list = virtualTable({
    label: "Order params",
    columns: COLUMNS,
    key: (item) => item.order_param,
    sort: "name",
    signal: page.signal,
    none: () => (asked().contains || asked().shard ? "No order param fits." : "No order params yet."),
    onTotal: (number) => { const said = plural(number, "order param"); if (total.textContent !== said) total.textContent = said; },
    fetchPage: async (offset, limit, sort) => {
      const found = await ask("order-params", { ...asked(), offset, limit, sort });
      looked.textContent = `as the tick of ${minuteTime(found.at)} UTC saw them`;
      return found;
    },
  });
  const [box, body, aside] = panel("List");
  aside.append(total, looked);
  body.append(list.node);
  page.root.append(page.heading("Order params", filters), box);

  const drawShards = whenChanged((shardIds) => {
    const chosen = shard.value || page.query.get("shard") || "";
    fill(shard, element("option", { value: "" }, "all shards"), ...shardIds.map((each) => element("option", { value: each }, each)));
    shard.value = shardIds.includes(chosen) ? chosen : "";
    list.reload();
  });
  page.onStatus((status) => drawShards(status.shards.map((each) => each.shard_id)));

  let typing = 0;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(list.reload, TYPING_MS); });
  shard.addEventListener("change", list.reload);
  filters.addEventListener("submit", (event) => { event.preventDefault(); list.reload(); });
  repeat(page.signal, REFRESH_MS, list.refresh);
}

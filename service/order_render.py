"""What the command line shows of orders and saved plans. Nothing here asks or prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from plb_ray.domain.load import RESOURCE_WORDS
from service.cli_render import bar, clock

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADS_SHOWN = 16
STATE_STYLES = {"awaiting": "yellow", "executed": "green", "refused": "red", "expired": "dim", "cancelled": "dim"}


def order_lines(found: dict[str, Any]) -> Iterator[Text]:
    """Yield the standing orders, a line each; what is not ordered is left out."""
    in_force = found["effective_mode"].replace("_", " ")
    yield Text.assemble("mode ", (in_force, "bold"), f" ({found['why']})")
    if found["paused"]:
        yield Text("paused: nothing is planned or sent; `plb balancer resume` goes on", "bold yellow")
    if found["approval"]:
        yield Text("approval: plans wait; `plb plan list --state awaiting` shows them, `plb approve ID` sends one", "yellow")
    for what in ("pinned", "draining", "filling"):
        if found[what]:
            yield Text(f"{what}: {', '.join(found[what])}")
    for name, shards in found["forbidden"].items():
        yield Text(f"forbidden: {name} may not be on {', '.join(shards)}")
    for group, names in found["spread_groups"].items():
        yield Text(f"group {group}: on different shards: {', '.join(names)}")
    if found["changed_at"]:
        yield Text(f"last order {clock(found['changed_at'])} by {found['changed_by']}", "dim")


def plan_table(plans: list[dict[str, Any]]) -> Table:
    """Return one row per plan, in the order given."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("id", "state", "made", "by"):
        table.add_column(name, no_wrap=True)
    table.add_column("moves", justify="right")
    table.add_column("until", no_wrap=True)
    table.add_column("note", overflow="fold")
    for each in plans:
        state = Text(each["state"], STATE_STYLES.get(each["state"], "blue"))
        made, until = clock(each["made_at"]), clock(each["expires_at"])
        why = each["history"][-1]["why"]
        note = Text(": ".join(filter(None, (each["note"], why))))
        table.add_row(each["plan_id"], state, made, Text(each["made_by"]), str(len(each["moves"])), until, note)
    return table


def plan_lines(plan: dict[str, Any]) -> Iterator[Text | Table]:
    """Yield one plan whole: where it stands, its moves with their reasons, and what happened to it."""
    state = Text(plan["state"], STATE_STYLES.get(plan["state"], "blue"))
    yield Text.assemble(f"{plan['plan_id']}  ", state, f"  {plan['note']}")
    overload = f"overload {plan['overload_before']:.3g} -> {plan['overload_after']:.3g}"
    broken = f"broken rules {plan['broken_before']} -> {plan['broken_after']}"
    yield Text(f"{plan['plan_status']}, {overload}, {broken}, highest utilisation then {plan['max_utilisation']:.0%}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("wave", "order param", "way", "why"):
        table.add_column(name, overflow="fold")
    for move in plan["moves"]:
        way = f"{move['source']} → {move['destination']}"
        table.add_row(str(move["wave"]), Text(move["order_param"]), Text(way), Text(move["reason"]))
    yield table
    yield from load_lines(plan["loads"])
    for event in plan["history"]:
        why = f": {event['why']}" if event["why"] else ""
        yield Text(f"{clock(event['at'])} {event['state']} by {event['who']}{why}", "dim")


def load_lines(loads: dict[str, Any] | None) -> Iterator[Text | Table]:
    """Yield what a plan does to the load of each shard: what it changes, and the fullest; none if nobody wrote it down."""
    if loads is None:
        yield Text("made by an earlier release, which did not write down the load of each shard", "dim")
        return
    pairs = [(shard["shard_id"], each) for shard in loads["shards"] for each in shard["resources"]]
    told = [(shard_id, each) for shard_id, each in pairs if each["before"] != each["after"] or _share(each) > 0]
    told.sort(key=lambda pair: (pair[1]["before"] == pair[1]["after"], -_share(pair[1])))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("shard", "resource", "before", "after"):
        table.add_column(name, no_wrap=True)
    for name in ("headroom", "capacity"):
        table.add_column(name, justify="right", no_wrap=True)
    for shard_id, each in told[:LOADS_SHOWN]:
        table.add_row(Text(shard_id), *_load_cells(each))
    yield table
    if len(told) > LOADS_SHOWN or loads["left_out"]:
        yield Text("and more that are less full; --json has them as far as they are kept", "dim")


def _load_cells(each: dict[str, Any]) -> list[Text | str]:
    name = RESOURCE_WORDS.get(each["resource"], each["resource"])
    if each["capacity"] is None:
        return [name, f"{each['before']:,.4g}", f"{each['after']:,.4g}", "", "no limit"]
    bars = [bar(each[f"utilisation_{when}"], each["headroom"]) for when in ("before", "after")]
    return [name, *bars, f"{each['headroom']:.0%}", f"{each['capacity']:,.4g}"]


def _share(each: dict[str, Any]) -> float:
    return max(each["utilisation_before"] or 0.0, each["utilisation_after"] or 0.0)

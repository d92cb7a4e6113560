"""Decisions, effects, audit entries and costs as tables and lines for people, made of the API's JSON. Asks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from service.cli_render import clock, instant, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHARDS_SHOWN = 12
STATE_STYLES = {"settled": "green", "rolled_back": "red", "pending": "blue"}


def _table(left: Iterable[str], right: Iterable[str] = (), last: str = "") -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    if last:
        table.add_column(last, overflow="fold")
    return table


def decision_table(items: list[dict[str, Any]]) -> Table:
    """Return one row per decision, in the order given."""
    table = _table(("number", "at (UTC)", "mode", "on", "plan"), ("moves", "sent"), "what became of them")
    for each in items:
        sent = Text(str(each["sent"]), "green" if each["sent"] else "dim")
        table.add_row(
            str(each["number"]),
            clock(each["at"]),
            each["mode"].replace("_", " "),
            each["basis"],
            each["status"].replace("_", " "),
            str(len(each["moves"])),
            sent,
            Text(_became(each)),
        )
    return table


def _became(decision: dict[str, Any]) -> str:
    counts: dict[str, int] = {}
    for move in decision["moves"]:
        counts[move["admission"]] = counts.get(move["admission"], 0) + 1
    return ", ".join(f"{count} {code.replace('_', ' ')}" for code, count in counts.items()) or "nothing to do"


def decision_lines(found: dict[str, Any]) -> Iterator[Any]:
    """Yield the whole story of one decision: inputs, plan, moves, effects."""
    on = "the forecast" if found["basis"] == "forecast" else "what was measured alone"
    mode = found["mode"].replace("_", " ")
    yield Text(f"decision {found['number']}, {clock(found['at'])} UTC, mode {mode}, on {on}", "bold")
    yield from (Text(f"note: {note}", "yellow") for note in found["notes"])
    yield from (Text(f"fault: {fault}", "red") for fault in found["faults"])
    yield from _input_lines(found["inputs"])
    yield Text("\nplan", "bold")
    yield Text(_plan_line(found))
    yield from (Text(f"unresolved: {why}", "yellow") for why in found["unresolved"])
    for move in found["moves"]:
        yield from _move_lines(move)
    if found["effects"]:
        yield Text("\npromised and kept", "bold")
        yield effect_table(found["effects"])


def _plan_line(found: dict[str, Any]) -> str:
    over = f"overload {found['overload_before']:.3g} -> {found['overload_after']:.3g}"
    proof = f"cost {found['cost']:g}, proven to need {found['bound']:.3g} at least"
    took = f"{found['solve_s']:.2f} s of {found['tick_s']:.2f} s for the tick"
    return f"{found['status'].replace('_', ' ')} ({found['termination']}): {over}; {proof}; {took}"


def _move_lines(move: dict[str, Any]) -> Iterator[Text]:
    via = f" by way of {move['via']}" if move["via"] else ""
    yield Text.assemble((move["order_param"], "bold"), f": {move['source']} -> {move['destination']}{via}")
    yield Text(f"    why: {move['reason']}")
    until = f"; to be sent at {clock(move['until'])}" if move["until"] else ""
    style = "green" if move["admission"] == "admitted" else "yellow"
    yield Text(f"    {move['admission']}: {move['admission_words']}{until}", style)


def _input_lines(inputs: dict[str, Any] | None) -> Iterator[Any]:
    if inputs is None:
        yield Text("made by an earlier release, which did not keep what it was made from", "dim")
        return
    level = f"p{inputs['level'] * 100:g} of " if inputs["level"] is not None else ""
    until = f"{level}{inputs['steps']} steps until {clock(inputs['last_step'])}"
    yield Text(f"{inputs['order_params']} order params, {until}; headroom {inputs['headroom']:.0%}")
    yield Text(_orders_line(inputs["orders"]))
    yield Text(_memory_line(inputs["memory"]))
    for name, meaning in (("silent", "do not answer"), ("moving", "on their way")):
        if inputs[name]["count"]:
            yield Text(f"{meaning}: {_names(inputs[name])}")
    yield _shard_table(inputs)
    left = inputs["shards_left_out"] + max(0, len(inputs["shards"]) - SHARDS_SHOWN)
    if left:
        yield Text(f"and {left} more that are less full; --json has them as far as they are kept", "dim")


def _orders_line(orders: dict[str, Any]) -> str:
    said = [name for name in ("paused", "approval") if orders[name]]
    said += [
        f"{name} {_names(orders[name])}" for name in ("pinned", "forbidden", "draining", "filling") if orders[name]["count"]
    ]
    said += [f"{orders['spread_groups']} spread groups"] if orders["spread_groups"] else []
    return f"orders: {'; '.join(said) or 'none'}"


def _memory_line(memory: dict[str, Any]) -> str:
    trust = "trusted" if memory["forecast_trusted"] else "not trusted"
    losses = f"(lost {memory['forecast_loss']:.3g}, the last step {memory['persistence_loss']:.3g})"
    cooling = f"; cooling down: {_names(memory['cooling'])}" if memory["cooling"]["count"] else ""
    counted = f"of what is promised {memory['ratio']:.0%} is counted, a move costs {memory['move_cost_s']:.3g} s"
    return f"forecast {trust} {losses}; {memory['sent_last_hour']} moves in the hour before{cooling}; {counted}"


def _names(names: dict[str, Any]) -> str:
    more = names["count"] - len(names["some"])
    return ", ".join(names["some"]) + (f" and {more} more" if more else "")


def _shard_table(inputs: dict[str, Any]) -> Table:
    table = _table(("shard",), ("now", "peak"), "peak at (UTC)")
    for shard in inputs["shards"][:SHARDS_SHOWN]:
        style = "yellow" if shard["peak"] > inputs["headroom"] else ""
        table.add_row(shard["shard_id"], f"{shard['now']:.0%}", Text(f"{shard['peak']:.0%}", style), clock(shard["peak_at"]))
    return table


def effect_table(items: list[dict[str, Any]]) -> Table:
    """Return one row per move that was sent: what it promised of the steps that have come, and what came."""
    right = ("promised", "came", "load", "source", "dest.", "took", "pause", "cost")
    table = _table(("migration", "way", "state"), right, "why not")
    for each in items:
        came, promised = each["realised"], each["promised"]
        load = f"{came['load_s'] / came['promised_load_s']:.0%}" if came["promised_load_s"] else ""
        compared = bool(came["steps"])
        table.add_row(
            Text(each["migration_id"]),
            Text(f"{each['source']} → {each['destination']}"),
            Text(each["state"].replace("_", " "), STATE_STYLES.get(each["state"], "yellow")),
            f"{came['promised_taken_s']:.1f} s" if compared else f"({promised['taken_s']:.1f} s)",
            f"{came['taken_s']:.1f} s" if compared else "",
            load,
            f"{came['source_without']:.0%} → {came['source']:.0%}" if compared else "",
            f"{came['destination']:.0%}" if compared else "",
            "" if came["duration_s"] is None else f"{came['duration_s']:.2f} s",
            milliseconds(came["pause_ms"]),
            "" if came["cost_s"] is None else f"{came['cost_s']:.3f} s",
            Text(each["why"], "red"),
        )
    return table


def audit_table(items: list[dict[str, Any]]) -> Table:
    """Return one row per entry, in the order given."""
    table = _table(("number", "at (UTC)", "who", "action", "target", "outcome", "detail"))
    for each in items:
        who = f"{each['who']} ({each['role']})" if each["role"] else each["who"]
        moment = f"{each['at'][:10]} {instant(each['at'])[:8]}"
        cells = (who, each["action"], each["target"], each["outcome"], each["detail"])
        table.add_row(str(each["number"]), moment, *(Text(cell) for cell in cells))
    return table


def cost_table(items: list[dict[str, Any]]) -> Table:
    """Return one row per order param: what a message costs, and between what that should lie."""
    table = _table(("order param",), ("CPU/message", "band", "I/O/message", "band", "payload", "messages"))
    for each in items:
        cost, lower, upper = each["cost"], each["lower"], each["upper"]
        table.add_row(
            Text(each["order_param"]),
            _ms(cost["cpu_core_s"]),
            f"{_ms(lower['cpu_core_s'])} to {_ms(upper['cpu_core_s'])}",
            _bytes(cost["io_bytes"]),
            f"{_bytes(lower['io_bytes'])} to {_bytes(upper['io_bytes'])}",
            _bytes(each["payload_bytes"]),
            f"{each['messages']:,.0f}",
        )
    return table


def _ms(core_s: float) -> str:
    return f"{core_s * 1000:.3g} ms"


def _bytes(count: float) -> str:
    return f"{count:,.0f} B" if count < 10_000 else f"{count / 1000:,.0f} kB"

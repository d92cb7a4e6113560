"""What the command line shows: tables and bars made of the API's JSON. Nothing here asks or prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

BAR_CELLS = 10
SPARKS = "▁▂▃▄▅▆▇█"
CHAINED = ", chained"
WIDE = 110
STEP_STYLES = {"done": "green", "aborted": "red"}


def status_lines(status: dict[str, Any]) -> list[Text]:
    """Return the head of `plb status`."""
    state = Text("ready", "bold green") if status["ready"] else Text("starting", "bold yellow")
    at = clock(status["at"]) if status["at"] else "no tick yet"
    lines = [Text.assemble(state, f"  {status['mode'].replace('_', ' ')}  {at}  tick {status['ticks']}")]
    counts = (f"{status[f'migrations_{each}']} {each.replace('_', ' ')}" for each in ("done", "active", "rolled_back"))
    lines.append(Text(f"{status['order_params']} order params; migrations: {', '.join(counts)}"))
    lines += _ordered(status)
    lines += fleet_lines(status["fleet"]) if status.get("fleet") else []
    lines += [Text(_training(each)) for each in status["training"] if each["fraction"] < 1 or each["failed"]]
    if why := status["history"]["source_error"]:
        lines.append(Text(f"samples could not be fetched: {why}", "yellow"))
    if status["last_error"]:
        lines.append(Text(f"the last tick reported: {status['last_error']}", "yellow"))
    return lines


def _ordered(status: dict[str, Any]) -> list[Text]:
    lines = [Text(f"mode {status['mode'].replace('_', ' ')}: {status['mode_why']}", "dim")] if status["mode_why"] else []
    if status["paused"]:
        lines.append(Text("paused: nothing is planned or sent; `plb balancer resume` goes on", "bold yellow"))
    if status["plans_awaiting"]:
        lines.append(
            Text(f"plans that wait for approval: {status['plans_awaiting']}; `plb plan list --state awaiting`", "yellow")
        )
    return lines


def fleet_lines(fleet: dict[str, Any]) -> list[Text]:
    """Return how many shards there should be, why, what is done about it, and the hours to come."""
    wanted = f"{fleet['shards']} shards take load, {fleet['wanted']} should: {fleet['why']}"
    lines = [Text(wanted, "" if fleet["shards"] == fleet["wanted"] else "yellow")]
    moving = [f"{word} {', '.join(fleet[word])}" for word in ("starting", "draining") if fleet[word]]
    if moving:
        lines.append(Text("; ".join(moving)))
    if fleet["short"]:
        lines.append(Text(f"{fleet['short']} shards more than elastic.max_shards will be needed", "bold yellow"))
    if fleet["error"]:
        lines.append(Text(f"the number of shards stays as it is for now: {fleet['error']}", "yellow"))
    needs = fleet["needs"]
    changes = [need for at, need in enumerate(needs) if at == 0 or need["shards"] != needs[at - 1]["shards"]]
    course = ", ".join(f"{need['shards']} from {clock(need['starts'])}" for need in changes)
    return [*lines, Text(f"shards needed: {course}", "dim")]


def _training(each: dict[str, Any]) -> str:
    failed = f", {each['failed']} failed" if each["failed"] else ""
    return f"training {each['horizon']}: {each['fraction']:.0%}, {each['done']} of {each['total']} networks{failed}"


def shard_table(status: dict[str, Any]) -> Table:
    """Return one row per shard: load now, highest foreseen load, when it congests, backlog."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("shard", "CPU now", f"foreseen p{status['level'] * 100:.0f}", "congestion"):
        table.add_column(name, no_wrap=name != "congestion")
    for name in ("msg/s", "backlog", "oldest", "order params"):
        table.add_column(name, justify="right")
    for shard in status["shards"]:
        table.add_row(*_shard_cells(shard, status))
    return table


def _shard_cells(shard: dict[str, Any], status: dict[str, Any]) -> list[Text | str]:
    if shard["error"]:
        return [shard["shard_id"], Text("not answering", "red"), "", Text(shard["error"], "red")]
    headroom, measured = status["headroom"], status["history"]["steps"] > 0
    target = shard["bands"].get("cpu_cores", {}).get("target", [])
    return [
        _named(shard),
        bar(shard["utilisation"].get("cpu_cores", 0.0), headroom) if measured else Text("not measured yet", "dim"),
        bar(max(target), headroom) if target else Text("no forecast", "dim"),
        Text(clock(shard["congestion_at"]), "yellow") if shard["congestion_at"] else Text("none", "dim"),
        f"{shard['arrival_messages_per_s']:,.0f}",
        f"{shard['backlog']:,}",
        f"{shard['oldest_age_s']:.1f} s",
        str(shard["order_params"]),
    ]


def _named(shard: dict[str, Any]) -> Text | str:
    """Return a shard's id, and how far it is emptied if it is draining."""
    if not shard["draining"]:
        return str(shard["shard_id"])
    empty = not shard["order_params"] and not shard["backlog"]
    return Text.assemble(f"{shard['shard_id']} ", ("drained, empty" if empty else "draining", "yellow"))


def bar(share: float, headroom: float) -> Text:
    """Return a bar of `BAR_CELLS` cells with its percentage; yellow above the headroom, red above capacity."""
    style = "red" if share > 1 else "yellow" if share > headroom else "green"
    filled = min(BAR_CELLS, round(share * BAR_CELLS))
    return Text.assemble(("█" * filled, style), ("░" * (BAR_CELLS - filled), "dim"), f" {share:4.0%}")


def migration_table(migrations: list[dict[str, Any]], width: int) -> Table:
    """Return one row per migration, in the order given; without reasons where a line has less than `WIDE` characters."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("started", "id", "order param", "way", "step"):
        table.add_column(name, overflow="fold")
    for name in ("copied", "pause"):
        table.add_column(name, justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("why", overflow="fold")
    for each in migrations:
        cells = (
            each["started_at"][11:19],
            Text(each["migration_id"]),
            Text(each["order_param"]),
            Text(f"{each['source']} → {each['destination']}{CHAINED if each['mode'] == 'chain' else ''}"),
            Text(each["step"], STEP_STYLES.get(each["step"], "blue")),
            _copied(each),
            milliseconds(each["pause_ms"]),
            Text(each["error"] or each["reason"]),
        )
        table.add_row(*cells[: len(table.columns)])
    return table


def _copied(each: dict[str, Any]) -> str:
    total = each["messages_copied"] + each["lag_messages"]
    if each["finished"] or not each["lag_messages"]:
        return f"{each['messages_copied']:,}"
    return f"{each['messages_copied']:,} ({each['messages_copied'] / total:.0%})"


def migration_lines(found: dict[str, Any]) -> list[Text]:
    """Return the head of `plb migrations show`."""
    step = Text(found["step"], STEP_STYLES.get(found["step"], "blue"))
    way = f"{found['order_param']}: {found['source']} → {found['destination']}, mode {found['mode']}, "
    lines = [Text.assemble(f"migration {found['migration_id']}  ", step), Text(way + f"epoch {found['epoch']}")]
    lines += [Text(f"why: {found['reason']}")] if found["reason"] else []
    lines += [Text(f"rolled back: {found['error']}", "red")] if found["error"] else []
    return lines


def timeline_table(found: dict[str, Any]) -> Table:
    """Return one row per step and failure of one migration, in order."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("at (UTC)", "step"):
        table.add_column(name, no_wrap=True)
    for name in ("messages", "bytes", "left", "pause", "ETA"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("failure", overflow="fold")
    for each in found["timeline"]:
        table.add_row(
            instant(each["at"]),
            Text(each["step"], STEP_STYLES.get(each["step"], "blue")),
            f"{each['messages_copied']:,}",
            f"{each['bytes_copied']:,}",
            f"{each['lag_messages']:,}",
            milliseconds(each["pause_ms"]),
            "" if each["eta_s"] is None else f"{each['eta_s']:.1f} s",
            Text(each["error"], "red"),
        )
    return table


def moment_line(moment: dict[str, Any]) -> str:
    """Return one step as a line of plain text, for logs and pipes."""
    parts = [f"{moment['messages_copied']:,} copied", f"{moment['lag_messages']:,} left"]
    parts += [] if moment["eta_s"] is None else [f"ETA {moment['eta_s']:.1f} s"]
    parts += [] if moment["pause_ms"] is None else [f"paused {milliseconds(moment['pause_ms'])}"]
    parts += [moment["error"]] if moment["error"] else []
    return f"{instant(moment['at']) or '-'} {moment['step']}: {', '.join(parts)}"


def milliseconds(value: float | None) -> str:
    """Return a pause as people read it; empty while it is not known."""
    return "" if value is None else f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def instant(iso: str | None) -> str:
    """Return a time to the millisecond; empty if it was not noted."""
    return "" if iso is None else f"{datetime.fromisoformat(iso):%H:%M:%S.%f}"[:-3]


def forecast_table(forecast: dict[str, Any]) -> Table:
    """Return one row per step, one column per quantile level."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("from (UTC)", no_wrap=True)
    for level in forecast["levels"]:
        table.add_column(f"p{level * 100:g}", justify="right")
    for step in forecast["steps"]:
        table.add_row(clock(step["at"]), *(f"{rate:,.2f}" for rate in step["messages_per_s"]))
    return table


def spark(values: list[float]) -> str:
    """Return a line of block characters, scaled to the highest value."""
    top = max(values, default=0.0) or 1.0
    return "".join(SPARKS[min(len(SPARKS) - 1, int(value / top * len(SPARKS)))] for value in values)


def clock(iso: str) -> str:
    """Return a time as people read it, in UTC, to the minute."""
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M}"

"""What came of a scenario, as text that people read and tests compare exactly. Figures have three digits that count."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plb_ray.simulation.scenarios.play import Played, Sent

MOVES_SHOWN = 12


def outcome(arms: Mapping[str, Played], step_s: int, bins: int) -> str:
    """Return the text: a paragraph for each arm."""
    return "\n".join(_arm(name, played, step_s, bins) for name, played in arms.items())


def _arm(name: str, played: Played, step_s: int, bins: int) -> str:
    totals = played.totals
    done = sum(not each.undone for each in played.sent)
    lines = [
        name,
        _load(played),
        f"  delay p50 {_of(totals.delay_s(0.5))} s, p99 {_of(totals.delay_s(0.99))} s",
    ]
    if name != "static":
        moves = f"moves {done}, thrash {100 * played.thrash:.0f} %"
        lines.append(f"  {moves}, on the forecast {played.on_forecast} of {bins} ticks")
    lines += [_sent(each, step_s) for each in played.sent[:MOVES_SHOWN]]
    if len(played.sent) > MOVES_SHOWN:
        lines.append(f"    and {len(played.sent) - MOVES_SHOWN} more")
    if played.held_back:
        lines.append("  held back: " + ", ".join(f"{why} {count}" for why, count in sorted(played.held_back.items())))
    lines += [f"  said in {count} ticks: {words}" for words, count in sorted(played.notes.items())]
    return "\n".join(lines) + "\n"


def _load(played: Played) -> str:
    over_s, excess = _of(played.totals.overload_shard_s), _of(played.totals.excess_messages)
    return f"  over capacity {over_s} shard-s, excess {excess} messages, most waiting {_of(played.most_waiting)}"


def _sent(each: Sent, step_s: int) -> str:
    at_s = each.bin * step_s
    move, undone = each.move, " (rolled back)" if each.undone else ""
    when = f"{at_s // 3600:02d}:{at_s % 3600 // 60:02d}"
    return f"    {when} {move.order_param} {move.source} -> {move.destination}: {move.reason}{undone}"


def _of(value: float) -> str:
    """Return a figure with three digits that count."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"

"""The live side of `plb replay`: the arms on real shard processes, shown and written as a modelled replay is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from plb_ray.errors import BadInputError
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plb_ray.domain.events import EventCalendar
    from plb_ray.simulation.replay.arm import Field, Foresight, Hindsight
    from service.replay_live import LiveReplay
    from service.replay_live_stage import Staged

    Tell = Callable[[str, float], None]
    Told = Callable[[str], tuple[Foresight | None, Hindsight | None]]

MINUTES = 5.0
TRAINING_SHARE = 0.3
"""Of the progress."""


def check_arms(arms: tuple[str, ...]) -> None:
    """Refuse arms that cannot be run live. Raises BadInputError."""
    from service.replay_live import ARMS  # noqa: PLC0415  imports the solver

    wrong = [arm for arm in arms if arm not in ARMS]
    if wrong:
        raise BadInputError(f"option live: there is no {wrong[0]} arm on real shards; there are {', '.join(ARMS)}")


def live_trace(
    on: Field, arms: tuple[str, ...], calendar: EventCalendar, seed: int, minutes: float, tell: Tell
) -> LiveReplay:
    """Train on what lies before the part of a trace that fits the time, and run the arms on it."""
    from service.replay_live import run_live  # noqa: PLC0415  imports the solver
    from service.replay_live_stage import staged  # noqa: PLC0415  imports numpy

    live = staged(on, len(arms), minutes)
    share = TRAINING_SHARE if "predictive" in arms else 0.0
    told = _told_of_trace(live, arms, calendar, seed, lambda done: tell("training and forecasting", share * done))
    return run_live(live, arms, told, seed, lambda words, done: tell(words, share + (1 - share) * done))


def live_scenario(path: Path, arms: tuple[str, ...], minutes: float, tell: Tell) -> LiveReplay:
    """Run the arms on a scenario. Raises BadInputError if shards come or are lost in it."""
    from plb_ray.settings import BalancerSettings  # noqa: PLC0415  keeps --help fast
    from plb_ray.simulation.replay.arm import Field  # noqa: PLC0415  imports numpy
    from plb_ray.simulation.replay.physics import PhysicsParams  # noqa: PLC0415  the same
    from plb_ray.simulation.scenarios.build import build  # noqa: PLC0415  the same
    from plb_ray.simulation.scenarios.library import read_scenario  # noqa: PLC0415  the same
    from plb_ray.simulation.scenarios.parse import parse  # noqa: PLC0415  the same
    from service.replay_forecasts import Oracle  # noqa: PLC0415  imports models
    from service.replay_live import run_live  # noqa: PLC0415  imports the solver
    from service.replay_live_stage import staged  # noqa: PLC0415  imports numpy
    from service.scenario_run import Statistical  # noqa: PLC0415  the same

    built = build(parse(read_scenario(path), str(path)))
    if not built.answers.all():
        raise BadInputError(f"scenario {path}: shards come or are lost in it; it cannot be run live")
    scenario = built.scenario
    on = Field(built.trace, scenario.first_bin, scenario.bins, built.shard_ids, built.rates, built.owner, PhysicsParams())
    live = staged(on, len(arms), minutes)
    levels = BalancerSettings().margin.levels
    foresights = {"predictive": lambda: Statistical(built, levels), "oracle": lambda: Oracle(live.on)}
    return run_live(live, arms, lambda arm: (foresights[arm]() if arm in foresights else None, None), scenario.seed, tell)


def _told_of_trace(
    live: Staged, arms: tuple[str, ...], calendar: EventCalendar, seed: int, on_progress: Callable[[float], None]
) -> Told:
    from plb_ray.settings import BalancerSettings  # noqa: PLC0415  keeps --help fast
    from service.replay_forecasts import Foretold, LookBack, Oracle, forecasts_of  # noqa: PLC0415  imports models

    settings = BalancerSettings()
    forecasts = forecasts_of(live.on, calendar, seed, on_progress) if "predictive" in arms else None

    def told(arm: str) -> tuple[Foresight | None, Hindsight | None]:
        past = LookBack(live.on, settings.hedge_days)
        if arm == "predictive" and forecasts is not None:
            return Foretold(forecasts, live.on, settings.margin.levels), past
        return (Oracle(live.on), past) if arm == "oracle" else (None, None)

    return told


def order_of(found: LiveReplay) -> dict[str, Any]:
    """Return what the order checker found, for JSON."""
    return {
        arm: {
            "sent": verdict.sent,
            "consumed": verdict.consumed,
            "order_violations": verdict.order_violations,
            "lost": verdict.lost,
            "duplicates": verdict.duplicates,
            "sent_late_s": found.late_s[arm],
        }
        for arm, verdict in found.verdicts.items()
    }


def say_order(found: LiveReplay) -> None:
    """Say what the order checker found, and if the machine was too slow. Exits with CHECKS_FAILED if order was not kept."""
    if found.too_late:
        typer.echo(
            f"messages were sent up to {max(found.late_s.values()):.1f} s late, of {found.bin_s:.2g} s a bin "
            f"({', '.join(found.too_late)}): the machine was too busy, and these figures are not those of the shards",
            err=True,
        )
    sent = sum(verdict.sent for verdict in found.verdicts.values())
    if found.clean:
        typer.echo(f"{sent:,} messages on real shards, all consumed once and in order", err=True)
        return
    for arm, verdict in found.verdicts.items():
        typer.echo(
            f"{arm}: {verdict.order_violations} out of order, {verdict.lost} lost, {verdict.duplicates} twice", err=True
        )
    raise typer.Exit(ExitCode.CHECKS_FAILED)

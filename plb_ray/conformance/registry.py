"""A check and the table it stands in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Flag, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.conformance.case import Case
    from plb_ray.conformance.targets import Targets

    Run = Callable[[Case], Awaitable[None]]


class Needs(Flag):
    """What a check needs of the targets."""

    SHARD = auto()
    TWO_SHARDS = auto()
    DATA = auto()  # ShardData on every shard that the check uses
    QUEUE = auto()
    TWO_QUEUE_SHARDS = auto()
    RESTART = auto()


@dataclass(frozen=True)
class Check:
    """One promise of the contract. `says` is what the contract says; `run` raises a `Failure` with words, or a `Skip`."""

    name: str
    group: str
    says: str
    needs: Needs
    run: Run = field(repr=False)

    def unmet(self, targets: Targets, restart_command: str) -> str:
        """Return why the check cannot be done on these targets; empty if it can."""
        wants = {
            Needs.SHARD: (targets.shards, "no target offers ShardControl"),
            Needs.TWO_SHARDS: (len(targets.shards) > 1, "needs two shards; name a second one with --target"),
            Needs.DATA: (all(shard.has_data for shard in targets.shards), "needs ShardData on every shard"),
            Needs.QUEUE: (targets.queue, "no target offers QueueControl"),
            Needs.TWO_QUEUE_SHARDS: (
                targets.queue is None or len(targets.queue.shards) > 1,
                "needs a queue with two shards that are not draining",
            ),
            Needs.RESTART: (restart_command, "needs --restart-command"),
        }
        return next((why for need, (met, why) in wants.items() if need in self.needs and not met), "")


class Table:
    """The checks of one group, in the order in which they run."""

    def __init__(self, group: str, needs: Needs) -> None:
        self.group = group
        self.checks: list[Check] = []
        self._needs = needs

    def check(self, name: str, needs: Needs | None = None) -> Callable[[Run], Run]:
        """Register a check, whose docstring is what the contract says. `needs` stands in for the group's."""

        def register(run: Run) -> Run:
            says = (run.__doc__ or name).strip().removesuffix(".")
            self.checks.append(Check(name, self.group, says, needs or self._needs, run))
            return run

        return register


ONE = Needs.SHARD | Needs.DATA
TWO = ONE | Needs.TWO_SHARDS

"""The matrix as data: boundaries x victims x faults, and the scripted cases. `all_cases` lists everything that is run.

A boundary is a place before, within or after one call of the balancer (see `gate`), with the roles for the shards. The case
"clean" fails when the protocol passes a boundary that is not listed here, and a case whose boundary is not reached fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.chaos import scripts
from tests.chaos.crash import crash
from tests.chaos.faults import FAULTS


def _around(*calls):
    return tuple(f"{call}/{when}" for call in calls for when in ("before", "after"))


def _written(*steps):
    return _around(*(f"journal.write[{step}]" for step in steps))


_COPY = "destination.copy_backlog"
BOUNDARIES = {
    "copy": (
        *_written("prepare"),
        f"{_COPY}/before",
        f"{_COPY}/within",
        f"{_COPY}/after",
        *_written("precopied"),
        *_around("source.pause"),
        f"{_COPY}[tail]/before",
        f"{_COPY}[tail]/within",
        f"{_COPY}[tail]/after",
        *_written("paused", "sealing"),
        *_around("source.seal"),
        *_written("sealed"),
        *_around("mapping.compare_and_set"),
        *_written("activating"),
        *_around("destination.resume"),
        *_written("mapped"),
        "source.drain/before",
        "source.drain/within",
        "source.drain/after",
        *_written("done"),
    ),
    "chain": (
        *_written("prepare"),
        *_written("precopied"),
        *_around("source.pause"),
        *_around("destination.begin"),
        *_written("paused", "sealing"),
        *_around("source.seal"),
        *_written("sealed"),
        *_around("mapping.compare_and_set"),
        *_written("activating"),
        *_around("destination.resume"),
        *_written("mapped"),
        *_around("source.update_mapping"),
        *_written("done"),
    ),
}
# The allocation and the look for a repeat; what depends on timing; the keeper of chains, after the end.
BESIDES = {"mapping.create", "source.open", "journal.get", "source.state", "destination.state", "mapping.reshape"}

ROLES = ("balancer", "source", "destination", "producer", "consumer")
CRASHES = ("kill", "zombie", "restart")

# Where the rarer faults strike: one place per step.
_STEPS = {
    "copy": (
        f"{_COPY}/within",
        "source.pause/after",
        "source.seal/before",
        "source.seal/after",
        "destination.resume/before",
        "destination.resume/after",
        "source.drain/before",
    ),
    "chain": ("source.pause/after", "source.seal/before", "source.seal/after", "destination.resume/after"),
}
FIRST = "journal.write[prepare]/after"


@dataclass(frozen=True)
class Case:
    """One row. `needs`: the network of its stage. `act`: what is done."""

    kind: str
    mode: str
    where: str = ""
    victim: str = ""
    fault: str = ""
    needs: str = "loopback"
    act: Any = crash

    @property
    def name(self):
        network = self.needs if self.needs != "loopback" else ""
        return "/".join(filter(None, (self.kind, self.mode, network, self.victim, self.fault, self.where)))

    @property
    def faulted(self):
        return FAULTS.get(self.fault or "kill")

    def knows(self, boundary):
        """Say whether the matrix has a boundary; the 2nd, 3rd ... call of a kind is another round of the same."""
        call, _, when = boundary.partition("/")
        call = call.partition(":")[0]
        return call in BESIDES or f"{call}/{when}" in BOUNDARIES[self.mode]


def all_cases(modes=("copy", "chain")):
    """Return every case, of these modes."""
    cases = [case for mode in modes for case in (*_matrix(mode), *_rarer(mode), *_networks(mode))]
    return [*cases, *_scripted(modes)]


def _matrix(mode):
    """Every role x every boundary x {SIGKILL, zombie, restart}; the balancer dead for good; all machines at once."""
    for where in BOUNDARIES[mode]:
        for victim in ROLES:
            for fault in CRASHES:
                yield Case(victim, mode, where, victim, fault)
        yield Case("balancer", mode, where, "balancer", "gone")
        yield Case("balancer", mode, where, "balancer", "twice")
        yield Case("power cut", mode, where, "balancer+source+destination", "kill")


def _rarer(mode):
    for where in _STEPS[mode]:
        for victim in ("balancer", "source", "destination"):
            for fault in ("full", "full-long"):
                yield Case("disk full", mode, where, victim, fault)
            for fault in ("ahead", "behind"):
                yield Case("clock jump", mode, where, victim, fault)
        yield Case("takeover", mode, where, "balancer", "zombie", act=scripts.zombie_takeover)


def _networks(mode):
    for where in _STEPS[mode]:
        for length in ("", "-long"):
            for victim in ("balancer", "source", "destination"):
                yield Case("partition", mode, where, victim, f"isolated{length}", "namespaces")
                yield Case("partition", mode, where, victim, f"isolated{length}", "proxy")
            for pair in ("source+destination", "balancer+source", "balancer+destination"):
                yield Case("partition", mode, where, pair, f"parted{length}", "namespaces")
    yield Case("slow", mode, FIRST, "", "slow-20ms", "proxy")
    yield Case("slow", mode, FIRST, "", "slow-4mbit", "namespaces")


def _scripted(modes):
    for mode in modes:
        yield Case("clean", mode, act=scripts.clean)
        yield Case("late seal", mode, act=scripts.late_seal)
        yield Case("same shard", mode, act=scripts.same_shard)
    for mode in (*modes, "mixed") if len(modes) > 1 else modes:
        yield Case("to and fro", mode, act=scripts.to_and_fro)
        yield Case("two balancers", mode, act=scripts.two_balancers)
    for mode in modes:
        for where in _STEPS[mode]:
            for victim in ("balancer", "source", "destination"):
                yield Case("to and fro", mode, where, victim, "kill", act=scripts.round_trip_crash)

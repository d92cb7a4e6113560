"""Batch retraining: what is asked for, and how far it is. No Ray and no files.

A retraining trains networks outside of the balancer, as one job: a *part* is one group's network for one horizon.

    retraining  waiting -> running -> done | failed | cancelled       ended, and not all of it done: asked again -> waiting
    part        waiting -> training -> done | skipped | failed        its worker died: -> waiting, `ATTEMPTS` times at most

Its id is derived from what is asked, so asking twice is asking once: whoever asks again joins the one that runs, gets the
one that is done, or lets the one that broke off go on with the parts that are not done.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from plb_ray.cluster.grouping import parent_of
from plb_ray.cluster.since import span_or_moment
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

HORIZONS = ("short", "medium")
ATTEMPTS = 3
NAMED_MAX = 20
SUBMITTING_S = 10.0
"""How long the job server may not know a job that is just being submitted."""


class State(StrEnum):
    """Where a retraining stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing works on it any more."""
        return self not in (State.WAITING, State.RUNNING)


class PartState(StrEnum):
    """Where the training of one network stands. SKIPPED: somebody else was training it."""

    WAITING = "waiting"
    TRAINING = "training"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether it will not change in this run."""
        return self not in (PartState.WAITING, PartState.TRAINING)


@dataclass(frozen=True)
class Part:
    """The training of one group's network for one horizon.

    Attributes:
        fraction: done of it, 0 to 1.
        attempts: how often it was begun in this run.
        where: node and process that trains it, or did last.
        parent: group whose network it goes on from; empty: it begins from nothing.
        note: why it was skipped, failed, or is begun again; if it is done, which version serves.
        took_s: how long the training took; None while there is none.
    """

    group: str
    horizon: str
    state: PartState = PartState.WAITING
    fraction: float = 0.0
    attempts: int = 0
    where: str = ""
    note: str = ""
    took_s: float | None = None
    parent: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Group and horizon."""
        return self.group, self.horizon

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.group}/{self.horizon}"

    def anew(self) -> Part:
        """Return it as it was before it was begun."""
        return Part(self.group, self.horizon, parent=self.parent)


@dataclass(frozen=True)
class RetrainRequest:
    """What is asked for.

    Attributes:
        groups: of order params, as in `groups.json`; empty: all.
        horizons: of `HORIZONS`; empty: all.
        since: how much history to learn from, as a span ("14d") or a moment ("2026-01-15"); empty: all of which use is made.
        again: train also what is done already.
    """

    groups: tuple[str, ...] = ()
    horizons: tuple[str, ...] = ()
    since: str = ""
    again: bool = False


@dataclass(frozen=True)
class RetrainPlace:
    """Where retrainings happen. Plain data: it travels to the replicas of the service.

    Attributes:
        state_dir: the balancer's state folder, on a file system that all nodes of the cluster see at this path.
        seed: of all training, as the balancer's.
        period_s: > 0; the same request in the same period is the same retraining.
    """

    state_dir: Path
    seed: int
    period_s: float

    @property
    def networks(self) -> Path:
        """Where the networks of all groups are."""
        return self.state_dir / "networks"


@dataclass(frozen=True)
class Retraining:
    """One retraining as it is now.

    Attributes:
        since: as asked.
        parts: in the order in which they are begun.
        run: how many jobs have worked on it, the present one included.
        submitted_s, started_s, ended_s: wall time of the present run.
        fraction_before: done when the present run started.
        span_s: [first, end) of the history that is learnt from, set by the first run and kept by the others.
        error: why it failed; empty otherwise.
    """

    retraining_id: str
    since: str
    seed: int
    parts: tuple[Part, ...]
    submitted_s: float
    state: State = State.WAITING
    run: int = 1
    started_s: float | None = None
    ended_s: float | None = None
    fraction_before: float = 0.0
    span_s: tuple[int, int] | None = None
    error: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Each group once."""
        return tuple(dict.fromkeys(part.group for part in self.parts))

    @property
    def horizons(self) -> tuple[str, ...]:
        """Each horizon once."""
        return tuple(dict.fromkeys(part.horizon for part in self.parts))

    @property
    def fraction(self) -> float:
        """Done of it, 0 to 1; what was skipped or failed needs no more work and counts as done."""
        return sum(1.0 if part.state.over else part.fraction for part in self.parts) / len(self.parts)

    @property
    def complete(self) -> bool:
        """Whether there is nothing left that another run could do."""
        return all(part.state is PartState.DONE for part in self.parts)

    @property
    def job_id(self) -> str:
        """Return the name of the present run at Ray's job server, which takes each name once."""
        return f"{self.retraining_id}-{self.run}"

    def eta_s(self, now_s: float) -> float | None:
        """Return the seconds until the end if it goes on as it went; None while that cannot be told."""
        done = self.fraction - self.fraction_before
        if self.state is not State.RUNNING or self.started_s is None or done <= 0:
            return None
        return (now_s - self.started_s) * (1.0 - self.fraction) / done

    def with_part(self, part: Part) -> Retraining:
        """Return it with a newer state of one part."""
        return replace(self, parts=tuple(part if each.key == part.key else each for each in self.parts))

    def next_run(self, now_s: float, *, again: bool) -> Retraining:
        """Return it as it is asked for anew: waiting, with what is done kept unless it is wanted `again`."""
        parts = tuple(part if part.state is PartState.DONE and not again else part.anew() for part in self.parts)
        kept = None if again else self.span_s
        return replace(
            self,
            parts=parts,
            submitted_s=now_s,
            state=State.WAITING,
            run=self.run + 1,
            started_s=None,
            ended_s=None,
            span_s=kept,
            error="",
        )

    def started(self, now_s: float, span_s: tuple[int, int]) -> Retraining:
        """Return it as its job begins to work."""
        return replace(self, state=State.RUNNING, started_s=now_s, fraction_before=self.fraction, span_s=span_s)

    def ended(self, state: State, now_s: float, error: str = "") -> Retraining:
        """Return it as nothing works on it any more; parts under way are back to waiting."""
        parts = tuple(part if part.state.over else replace(part.anew(), note=part.note) for part in self.parts)
        return replace(self, parts=parts, state=state, ended_s=now_s, error=error)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Retraining:
        """Return what `dataclasses.asdict` was made of. Raises KeyError, TypeError or ValueError if it was not."""
        known = {field.name: document[field.name] for field in fields(cls)}
        parts = tuple(Part(**{**part, "state": PartState(part["state"])}) for part in known["parts"])
        span_s = tuple(known["span_s"]) if known["span_s"] is not None else None
        return cls(**{**known, "parts": parts, "span_s": span_s, "state": State(known["state"])})


@dataclass(frozen=True)
class JobReport:
    """What Ray's job server says of a job: whether its process has ended, whether it was stopped, and its last words."""

    over: bool
    stopped: bool = False
    message: str = ""


def as_seen(record: Retraining, job: JobReport | None, now_s: float) -> Retraining:
    """Return a retraining as it is shown: its own record, unless its job ended without a word or is not known at all."""
    submitting = job is None and record.state is State.WAITING and now_s - record.submitted_s < SUBMITTING_S
    if record.state.over or submitting or (job is not None and not job.over):
        return record
    if job is not None and job.stopped:
        return record.ended(State.CANCELLED, now_s)
    why = job.message.strip() if job is not None else "Ray does not know it any more; it was restarted"
    return record.ended(State.FAILED, now_s, f"its job ended before its time ({why}); ask for it again to let it go on")


def planned(request: RetrainRequest, known: Collection[str], place: RetrainPlace, now_s: float) -> Retraining:
    """Return the retraining that a request stands for, not begun.

    Args:
        request: what is asked for.
        known: the groups that there are.
        place: see `RetrainPlace`.
        now_s: wall time.

    Raises:
        BadInputError: there is no such group or horizon, or `since` is neither a span nor a moment.
    """
    groups = _chosen("group", request.groups, sorted(known))
    horizons = _chosen("horizon", request.horizons, HORIZONS)
    since = str(span_or_moment(request.since)) if request.since else ""
    text = "\0".join((*groups, "", *horizons, since, str(place.seed), str(int(now_s // place.period_s))))
    retraining_id = f"retrain-{blake2b(text.encode(), digest_size=6).hexdigest()}"
    parts = tuple(Part(group, horizon, parent=parent_of(group, known)) for group in groups for horizon in horizons)
    return Retraining(retraining_id, request.since, place.seed, parts, now_s)


def _chosen(what: str, asked: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    if not known:
        raise BadInputError(
            f"there is no {what} yet; a balancer on Ray makes them when it has `forecast.min_history_steps` of history"
        )
    wrong = [name for name in asked if name not in known]
    if wrong:
        shown = ", ".join(list(known)[:NAMED_MAX]) + (", ..." if len(known) > NAMED_MAX else "")
        raise BadInputError(f"unknown {what} {wrong[0]!r}; known are {shown}")
    return tuple(name for name in known if not asked or name in asked)

"""Finds what people should be told, by looking at what the control loop shows. Pure: a picture and a memory in, notices out.

States, such as a shard that is silent, are told once when they begin and again only after they have ended; events, such as
a migration that failed, are told once each. Whatever flaps is told again after `min_interval_s` at the earliest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plb_ray.control.views import Admission
from plb_ray.domain.migration import MigrationStep
from plb_ray.domain.notices import Fact, Notice, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plb_ray.control.views import BalancerStatus, Decision, ShardView
    from plb_ray.domain.champions import Demotion
    from plb_ray.domain.migration import MigrationRecord

NAMED_AT_ONCE = 5
"""Of more migrations that fail between two looks, or groups that are demoted, the number is told, and these few by name."""

ON_DEMAND = "cancelled"
"""What the error of a migration says that a person has rolled back."""

Key = tuple[NoticeKind, str]


@dataclass(frozen=True)
class Picture:
    """What is looked at.

    Attributes:
        now_s: wall time.
        status, decision: the newest; no decision before the first one.
        migrations: recent ones, newest first.
        demotions: those after which the baseline serves now.
    """

    now_s: float
    status: BalancerStatus
    decision: Decision | None
    migrations: tuple[MigrationRecord, ...] = ()
    demotions: tuple[Demotion, ...] = ()


@dataclass(frozen=True)
class Watch:
    """What is remembered between two looks.

    Attributes:
        since_s: wall time of the first look; what failed, or was demoted, before it is not told.
        holding: states that held at the last look, and whether that was told.
        told_s: wall time at which each was last told.
        failed: migrations whose failure is known.
        demoted: demotions that are known.
    """

    since_s: float
    holding: dict[Key, bool] = field(default_factory=dict)
    told_s: dict[Key, float] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    demoted: frozenset[Demotion] = frozenset()


def look(watch: Watch, picture: Picture, min_interval_s: float) -> tuple[Watch, tuple[Notice, ...]]:
    """Return what is to be remembered, and what is to be told now."""
    states = {(notice.kind, notice.subject): notice for notice in _states(picture)}
    failed = _failed(watch, picture)
    found = [notice for key, notice in states.items() if not watch.holding.get(key)]
    found += _failures(failed, picture)
    found += _demoted(watch, picture)
    due = [
        notice
        for notice in found
        if picture.now_s - watch.told_s.get((notice.kind, notice.subject), float("-inf")) >= min_interval_s
    ]
    now_told = {(notice.kind, notice.subject) for notice in due}
    recent = {key: told_s for key, told_s in watch.told_s.items() if picture.now_s - told_s < min_interval_s}
    known = watch.failed & {record.migration_id for record in picture.migrations}
    after = Watch(
        since_s=watch.since_s,
        holding={key: watch.holding.get(key, False) or key in now_told for key in states},
        told_s={**recent, **dict.fromkeys(now_told, picture.now_s)},
        failed=known | {record.migration_id for record in failed},
        demoted=frozenset(picture.demotions),
    )
    return after, tuple(due)


def _states(picture: Picture) -> Iterator[Notice]:
    at_s = picture.status.at_s or picture.now_s
    for shard in picture.status.shards:
        if shard.error:
            text = f"shard {shard.shard_id} is silent: {shard.error}"
            yield Notice(NoticeKind.SHARD_SILENT, shard.shard_id, text, at_s, {"shard": shard.shard_id})
        elif shard.congestion_at_s is not None:
            yield _congestion(shard, shard.congestion_at_s, at_s, picture)
    if waiting := picture.status.plans_awaiting:
        plans = "a plan waits" if waiting == 1 else f"{waiting} plans wait"
        text = f"{plans} for approval; see the dashboard, or `plb plan list` and `plb approve`"
        yield Notice(NoticeKind.PLAN_WAITING, "plan", text, at_s, {"plans": waiting})


def _congestion(shard: ShardView, begins_s: float, at_s: float, picture: Picture) -> Notice:
    ahead_s = max(0.0, begins_s - at_s)
    peak = max((max(band.target, default=0.0) for band in shard.bands.values()), default=0.0)
    relief = _relief(shard, picture.decision)
    text = f"shard {shard.shard_id} is foreseen at {peak:.0%} of its capacity in {ahead_s / 60:.0f} min; {relief}"
    facts: dict[str, Fact] = {"shard": shard.shard_id, "in_s": ahead_s, "peak_utilisation": peak}
    return Notice(NoticeKind.CONGESTION_FORESEEN, shard.shard_id, text, at_s, facts)


def _relief(shard: ShardView, decision: Decision | None) -> str:
    """Return what is being done about a shard, in words."""
    away = [moved for moved in decision.moves if moved.move.source == shard.shard_id] if decision else []
    sent = sum(moved.admission is Admission.ADMITTED for moved in away)
    if sent:
        return f"{sent} of {len(away)} planned moves off it are sent"
    return f"{len(away)} moves off it are planned, none is sent" if away else "no move off it is planned"


def _failed(watch: Watch, picture: Picture) -> list[MigrationRecord]:
    """Return the migrations that were rolled back since the first look and are not known yet, but for those people ended."""
    return [
        record
        for record in picture.migrations
        if record.step is MigrationStep.ABORTED
        and record.migration_id not in watch.failed
        and (record.finished_s or 0.0) >= watch.since_s
        and ON_DEMAND not in record.error
    ]


def _failures(failed: list[MigrationRecord], picture: Picture) -> Iterator[Notice]:
    if len(failed) > NAMED_AT_ONCE:
        named = ", ".join(record.migration_id for record in failed[:NAMED_AT_ONCE])
        text = f"{len(failed)} migrations were rolled back, among them {named}; the last one: {failed[0].error}"
        facts: dict[str, Fact] = {"count": len(failed)}
        yield Notice(NoticeKind.MIGRATION_FAILED, "many", text, picture.now_s, facts)
        return
    for record in failed:
        way = f"{record.order_param} from {record.source} to {record.destination}"
        text = f"migration {record.migration_id} of {way} was rolled back: {record.error}"
        known: dict[str, Fact] = {"migration": record.migration_id, "order_param": record.order_param}
        yield Notice(NoticeKind.MIGRATION_FAILED, record.order_param, text, record.finished_s or picture.now_s, known)


def _demoted(watch: Watch, picture: Picture) -> Iterator[Notice]:
    """Yield a notice for each demotion that is new; those of one horizon for one reason are one notice."""
    new = [each for each in picture.demotions if each not in watch.demoted and each.at_s >= int(watch.since_s)]
    by_cause: dict[tuple[str, str, str], list[Demotion]] = {}
    for each in new:
        by_cause.setdefault((each.horizon, each.who, each.reason), []).append(each)
    for (horizon, who, reason), together in by_cause.items():
        groups = ", ".join(each.group for each in together[:NAMED_AT_ONCE])
        more = f" and {len(together) - NAMED_AT_ONCE} more" if len(together) > NAMED_AT_ONCE else ""
        by = f" by {who}" if who else ""
        text = f"the {horizon} champion of {groups}{more} is demoted{by}, the baseline serves: {reason}"
        subject = f"{together[0].group} {horizon}" if len(together) == 1 else horizon
        facts: dict[str, Fact] = {"horizon": horizon, "group": together[0].group, "groups": len(together), "who": who}
        yield Notice(NoticeKind.MODEL_DEMOTED, subject, text, max(each.at_s for each in together), facts)

"""Who did what, when, and what became of it: entries of the audit log, and what may be asked of the record. Plain values.

Actions are words with a dot: what is acted upon, then what is done to it.

    decision.made       the balancer decided to move order params            target: number of the decision
    migration.sent      a move was ordered from the queue                    target: migration id
    migration.dropped   a move that was ordered is not begun after all       target: migration id
    migration.ended     a migration of anybody's has ended                   target: migration id
    champion.demoted    the baseline serves a horizon from now on            target: the horizon
    forecasts.proved    the mode `auto` acts on forecasts from now on        target: the horizon
    plan.waiting        a tick's plan waits for approval                     target: plan id
    plan.ended          a plan is executed, expired or refused by itself     target: plan id
    training.started    networks are trained anew                            target: the horizons
    shard.started, shard.draining, shard.kept, shard.left                    target: the shard
    costs.set_aside     a damaged file of learned costs is not used          target: the file
    what people ask for over HTTP is noted by the API, under the names in `service.api.access`

`BALANCER` is who acts by itself; people have their names.
"""

from __future__ import annotations

from dataclasses import dataclass

BALANCER = "balancer"
PAGE = 100


@dataclass(frozen=True)
class AuditEntry:
    """One act. Entries are only ever added; `number` is given when one is kept, and only grows.

    Attributes:
        number: 0 until it is kept.
        at_s: wall time, seconds since the Unix epoch, also in a replay.
        who: name of the caller, or `BALANCER`.
        role: what that one might do then; empty where nobody has asked.
        action: see the module.
        target: what was acted upon; empty if that is the balancer itself.
        outcome: what became of it, in a word or two: done, refused, 2 of 3 sent, 409 MIGRATION_CONFLICT.
        detail: the rest, in a sentence.
    """

    number: int
    at_s: float
    who: str
    role: str
    action: str
    target: str = ""
    outcome: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AuditQuery:
    """Which entries: all conditions hold together.

    Attributes:
        limit: most entries, >= 1.
        before: only those with a smaller number; newest first.
        after: only those with a larger number; given, the answer is oldest first.
        who: of exactly this name; None: anybody's.
        action: this action, or with a word without a dot all that begin with it; None: any.
        since_s, until_s: of this time and later, and before this time.
    """

    limit: int = PAGE
    before: int | None = None
    after: int | None = None
    who: str | None = None
    action: str | None = None
    since_s: float | None = None
    until_s: float | None = None


@dataclass(frozen=True)
class DecisionQuery:
    """Which decisions, newest first: all conditions hold together.

    Attributes:
        limit: most decisions, >= 1.
        before: only those with a smaller number.
        since_s, until_s: of this time and later, and before this time; by the decisions' own clock.
        order_param: only those that planned a move of it.
        admission: only those in which a move met this: "admitted", or the code of a refusal.
        with_moves: only those that planned any.
    """

    limit: int = PAGE
    before: int | None = None
    since_s: float | None = None
    until_s: float | None = None
    order_param: str | None = None
    admission: str | None = None
    with_moves: bool = False

"""What the balancer tells people unasked: something that may need a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

Fact = str | int | float | None


class NoticeKind(StrEnum):
    """The occasions."""

    CONGESTION_FORESEEN = "congestion_foreseen"
    PLAN_WAITING = "plan_waiting"
    MIGRATION_FAILED = "migration_failed"
    MODEL_DEMOTED = "model_demoted"
    SHARD_SILENT = "shard_silent"
    TEST = "test"  # somebody tries whether notices arrive


@dataclass(frozen=True)
class Notice:
    """One notice.

    Attributes:
        kind: the occasion.
        subject: whom it concerns, such as a shard; with the kind it tells a notice from its repeats.
        text: one sentence for people.
        at_s: when it came up (trace time in a replay).
        facts: the same for machines; plain JSON values.
    """

    kind: NoticeKind
    subject: str
    text: str
    at_s: float
    facts: dict[str, Fact] = field(default_factory=dict)

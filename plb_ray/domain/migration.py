"""What the world outside the protocol knows of a migration: the request, its steps as events, and its record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MigrationStep(StrEnum):
    """The steps of a migration, in order; the last two are terminal. SEALED is the commit point."""

    PREPARE = "prepare"
    PRECOPIED = "precopied"
    PAUSED = "paused"
    SEALING = "sealing"
    SEALED = "sealed"
    ACTIVATING = "activating"
    MAPPED = "mapped"
    DONE = "done"
    ABORTED = "aborted"

    @property
    def terminal(self) -> bool:
        """Nothing follows."""
        return self in (MigrationStep.DONE, MigrationStep.ABORTED)


class MigrationMode(StrEnum):
    """What becomes of the backlog."""

    COPY = "copy"  # it moves to the destination; the source is free of the order param afterwards
    CHAIN = "chain"  # it stays and is consumed where it is, then the destination's messages; moves in milliseconds


@dataclass(frozen=True)
class MigrationRequest:
    """Move an order param. `request_id` makes it idempotent: a repeat joins the running migration."""

    request_id: str
    order_param: str
    source: str
    destination: str
    reason: str = ""
    mode: MigrationMode = MigrationMode.COPY


@dataclass(frozen=True)
class MigrationRecord:
    """One migration as the journal knows it.

    Attributes:
        migration_id: = the request id.
        epoch: ownership number before the migration; it is `epoch + 1` after.
        messages_copied, bytes_copied: so far.
        pause_ms: how long appends were refused; None until the destination serves or the source serves again.
        started_s, finished_s: wall time, seconds since the Unix epoch.
        error: why it was rolled back; empty otherwise.
        mode: what becomes of the backlog.
        at_s: when this step was reached, wall time; 0 in records of releases that did not note it.
        lag_messages: left to copy when last looked.
        eta_s: seconds until the destination serves, from the rate of copying so far; None if that cannot be told.
    """

    migration_id: str
    order_param: str
    source: str
    destination: str
    epoch: int
    step: MigrationStep
    reason: str
    started_s: float
    finished_s: float | None = None
    messages_copied: int = 0
    bytes_copied: int = 0
    pause_ms: float | None = None
    error: str = ""
    mode: MigrationMode = MigrationMode.COPY
    at_s: float = 0.0
    lag_messages: int = 0
    eta_s: float | None = None

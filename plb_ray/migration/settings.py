"""Parameters of a migration, each with its range and its reason."""

from __future__ import annotations

from dataclasses import dataclass

from plb_ray.errors import BadInputError


@dataclass(frozen=True)
class MigrationSettings:
    """How a migration copies, pauses and retries.

    Attributes:
        lease_ms: the source resumes by itself this long after PAUSE, in [100, 600 000]. It bounds the pause when the
            balancer dies, and must outlast the copy of the tail: a tail that takes longer is rolled back.
        tail_messages: PAUSE is sent after a round that copied at most so many messages, in [0, 1 000 000], and fewer than
            that come with SEAL; 0: all that is here at PAUSE is copied. Copying 200 messages takes a few milliseconds, less
            than the calls around it; fewer gain nothing.
        precopy_rounds: PAUSE is sent after this many rounds even if more is left, in [1, 100]. Each round leaves what was
            appended during the round before; when copying is slower than appending, more rounds gain nothing.
        chunk_messages: messages copied or deleted at a time, in [1, 10 000]. Larger ones stall the shard's other order
            params.
        undo_attempts: how often each shard is told to abort before its lease (source) or the next migration's first copy
            (destination) is left to clean up, in [1, 100].
        retry_first_s, retry_most_s: wait between attempts, doubling from the first to the second, 0 < first <= most.
    """

    lease_ms: int = 5_000
    tail_messages: int = 200
    precopy_rounds: int = 8
    chunk_messages: int = 500
    undo_attempts: int = 3
    retry_first_s: float = 0.02
    retry_most_s: float = 2.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("lease_ms", 100, 600_000),
            ("tail_messages", 0, 1_000_000),
            ("precopy_rounds", 1, 100),
            ("chunk_messages", 1, 10_000),
            ("undo_attempts", 1, 100),
        ):
            if not least <= getattr(self, name) <= most:
                raise BadInputError(f"migration setting {name}: must be from {least} to {most}")
        if not 0 < self.retry_first_s <= self.retry_most_s:
            raise BadInputError("migration setting retry_first_s: must be above 0 and at most retry_most_s")

    def retry_s(self, failures: int) -> float:
        """Return how long to wait after the n-th failure in a row (n >= 1)."""
        return min(self.retry_most_s, self.retry_first_s * 2.0 ** min(failures - 1, 30))

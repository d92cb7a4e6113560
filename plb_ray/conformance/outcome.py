"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a check ended."""

    PASSED = "pass"
    FAILED = "fail"
    SKIPPED = "skip"


class Failure(Exception):  # noqa: N818  the word of the report
    """The target broke the contract; the text says what was found and what is promised."""


class Skip(Exception):  # noqa: N818  the word of the report
    """The check cannot be done on these targets; the text says why, and what would make it possible."""


@dataclass(frozen=True)
class Result:
    """One check's outcome. `reason` is empty for a pass."""

    check: str
    group: str
    says: str
    status: Status
    reason: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """All outcomes of one run.

    Attributes:
        targets: each endpoint with what it is.
        left: order params of this run that could not be cleaned up, in words.
    """

    run_id: str
    targets: tuple[str, ...]
    results: tuple[Result, ...]
    left: tuple[str, ...] = ()

    @property
    def conforms(self) -> bool:
        """Whether nothing failed."""
        return not self.count(Status.FAILED)

    def count(self, status: Status) -> int:
        """Return how many checks ended so."""
        return sum(result.status is status for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "run_id": self.run_id,
            "targets": list(self.targets),
            "conforms": self.conforms,
            "counts": {str(status): self.count(status) for status in Status},
            "results": [{**vars(result), "status": str(result.status)} for result in self.results],
            "left": list(self.left),
        }


def require(holds: object, words: str) -> None:
    """Fail with these words unless it holds."""
    if not holds:
        raise Failure(words)


def same(what: str, found: object, wanted: object) -> None:
    """Fail unless both are equal."""
    if found != wanted:
        raise Failure(f"{what} is {found!r}; promised is {wanted!r}")

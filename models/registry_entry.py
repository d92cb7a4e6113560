"""What the registry remembers, as values: how a version was made, what happened to it, and who was champion when."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from plb_ray.domain.rates import Horizon

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1


@dataclass(frozen=True)
class DataSpan:
    """The history that a version was made from. Times are seconds since the Unix epoch.

    Attributes:
        start_s: of the history.
        learnt_until_s: end of what was learnt; what is behind it was held out.
        end_s: of the history.
        step_s: of the history.
        order_params: how many there were.
        digest: of their names and rates; equal for equal data.
    """

    start_s: int
    learnt_until_s: int
    end_s: int
    step_s: int
    order_params: int
    digest: str


@dataclass(frozen=True)
class Entry:
    """How one version was made, and how good it was on the days held out.

    Attributes:
        horizon: what it foresees.
        levels: (Q,) its quantile levels.
        kind: of forecaster, a word.
        metrics: see docs/models.md; every value is finite.
        losses: (N,) its relative loss at each origin of the days held out: what drift is measured from.
        data: what it was made from.
        seed: of its training.
        training_s: seconds that the training took.
        training_key: equal for trainings of the same kind on the same data with the same seed by the same code.
        code_version: of plb-ray.
        version: its name; given by the registry.
        made_at: ISO 8601, UTC; given by the registry.
    """

    horizon: Horizon
    levels: tuple[float, ...]
    kind: str
    metrics: dict[str, float]
    losses: tuple[float, ...]
    data: DataSpan
    seed: int
    training_s: float
    training_key: str
    code_version: str
    version: str = ""
    made_at: str = ""

    def as_document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"format": FORMAT, **asdict(self)}

    @staticmethod
    def from_document(document: dict[str, Any]) -> Entry:
        """Return what `as_document` gave. Raises ValueError, KeyError or TypeError: it is something else."""
        fields = dict(document)
        if fields.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        fields |= {"horizon": Horizon(**fields["horizon"]), "data": DataSpan(**fields["data"])}
        fields |= {name: tuple(map(float, fields[name])) for name in ("levels", "losses")}
        fields["metrics"] = {str(name): float(value) for name, value in fields["metrics"].items()}
        return Entry(**fields)


class What(StrEnum):
    """What may happen to a version."""

    ADDED = "added"
    PROMOTED = "promoted"
    KEPT = "kept"
    DEMOTED = "demoted"
    ROLLED_BACK = "rolled back"
    PRUNED = "pruned"


@dataclass(frozen=True)
class Event:
    """One line of the audit.

    Attributes:
        number: 1.., in the order in which things happened.
        at: ISO 8601, UTC.
        what: see `What`.
        version: it happened to; None = to the baseline (kept), or nobody knows (demoted while the pointer was damaged).
        reason: for people.
        who: did it; may be empty.
    """

    number: int
    at: str
    what: What
    version: str | None
    reason: str
    who: str

    @staticmethod
    def from_document(document: dict[str, Any]) -> Event:
        """Return what `asdict` gave. Raises ValueError, KeyError or TypeError: it is something else."""
        return Event(**{**document, "number": int(document["number"]), "what": What(document["what"])})


def line_of_champions(events: Iterable[Event]) -> list[str]:
    """Return who was champion one after the other, the latest last.

    A rollback forgets those after the one rolled back to, and a demotion the one demoted: the last is always whom to go back
    to if there is no champion, and the last but one if there is.
    """
    line: list[str] = []
    for event in events:
        if event.version is None:
            continue
        if event.what == What.PROMOTED:
            line.append(event.version)
        elif event.what == What.DEMOTED:
            line = line[:-1] if line[-1:] == [event.version] else line
        elif event.what == What.ROLLED_BACK:
            line = [*line[: line.index(event.version)], event.version] if event.version in line else [*line, event.version]
    return line

"""What is asked of capacity planning: horizon, risk, shard types, and what if. Values, with the words they are given in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from plb_ray.errors import BadInputError

HOUR_S, DAY_S, WEEK_S = 3600, 86_400, 7 * 86_400
SHARDS_MOST = 100_000


class HorizonName(StrEnum):
    """How far ahead: an hour in steps of 15 minutes, a day or a week in steps of an hour."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"

    @property
    def span_s(self) -> int:
        """How long it is."""
        return {"hour": HOUR_S, "day": DAY_S, "week": WEEK_S}[self.value]

    @property
    def step_s(self) -> int:
        """Length of its steps."""
        return 900 if self is HorizonName.HOUR else HOUR_S


@dataclass(frozen=True)
class TypeAsked:
    """A shard type that can be had. `capacity`: by resource; one that it lacks has no limit. `most`: None for any number."""

    name: str
    capacity: dict[str, float]
    price: float = 1.0
    most: int | None = None


@dataclass(frozen=True)
class Growth:
    """What if the traffic of these order params changes by so many percent; patterns as in the event calendar."""

    order_params: tuple[str, ...]
    percent: float


@dataclass(frozen=True)
class Campaign:
    """What if so many messages per second come on top, shared out in proportion to what the order params have.

    Attributes:
        start_s, end_s: when; None: from the first step, to the last.
    """

    messages_per_s: float
    order_params: tuple[str, ...] = ()
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class NewTenant:
    """What if somebody comes whose traffic is like that of these order params, times a factor."""

    name: str
    like: tuple[str, ...]
    factor: float = 1.0


@dataclass(frozen=True)
class CapacityAsk:
    """One question.

    Attributes:
        horizon: how far ahead.
        alpha: accepted risk that a shard's load is above its usable capacity, at any one step, in (0, 0.5].
        headroom: usable share of every capacity, in (0, 1].
        types: what can be had; empty: shards like the ones there are.
        growths, campaigns, tenants: what if; they apply in this order.
        zones: over how many zones the shards are spread, of which any one may be lost; 1: none may.
        segments: most shards for one order param that fits none.
        now_s: where the horizon starts; None: at the end of the history.
        deadline_s: time for the answer, > 0.
        seed: of every random choice.
    """

    horizon: HorizonName = HorizonName.DAY
    alpha: float = 0.05
    headroom: float = 0.9
    types: tuple[TypeAsked, ...] = ()
    growths: tuple[Growth, ...] = ()
    campaigns: tuple[Campaign, ...] = ()
    tenants: tuple[NewTenant, ...] = ()
    zones: int = 1
    segments: int = 1
    now_s: int | None = None
    deadline_s: float = 5.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, ok, want in (
            ("alpha", 0 < self.alpha <= 0.5, "above 0 and at most 0.5"),
            ("headroom", 0 < self.headroom <= 1, "above 0 and at most 1"),
            ("zones", 1 <= self.zones <= 100, "from 1 to 100"),
            ("segments", 1 <= self.segments <= 1000, "from 1 to 1000"),
            ("deadline", 0 < self.deadline_s <= 600, "above 0 and at most 600 s"),
            ("growth", all(isfinite(each.percent) and each.percent >= -100 for each in self.growths), "-100 % or more"),
            ("campaign", all(_rate(each.messages_per_s) for each in self.campaigns), "messages/s, 0 or more"),
            ("tenant", all(_rate(each.factor) and each.name for each in self.tenants), "a name and a factor, 0 or more"),
            ("types", all(_sound(each) for each in self.types), "capacities and a price above 0, and no negative number"),
            ("types", len({each.name for each in self.types}) == len(self.types), "of different names"),
        ):
            if not ok:
                raise BadInputError(f"capacity question, {name}: must be {want}")


def _rate(value: float) -> bool:
    return isfinite(value) and value >= 0


def _sound(kind: TypeAsked) -> bool:
    capacities = kind.capacity.values()
    named = bool(kind.name) and bool(kind.capacity) and all(isfinite(each) and each > 0 for each in capacities)
    return named and isfinite(kind.price) and kind.price > 0 and (kind.most is None or 0 <= kind.most <= SHARDS_MOST)

"""What a scenario says. Times are seconds from the beginning of what is replayed; earlier ones are negative. No IO."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from plb_ray.errors import BadInputError

HOUR_S = 3600
DAY_S = 24 * HOUR_S
FORECASTERS = ("baseline", "events")


@dataclass(frozen=True)
class Group:
    """Order params NAME-0 .. NAME-(count - 1) that send alike.

    Attributes:
        per_s: mean messages per second of each.
        noise: sigma of a lognormal factor, drawn anew for each bin.
        zipf: exponent by which they differ in size: number n has a share of 1 / (n + 1)^zipf; 0: all the same.
        daily: 0 to 1, how much of the rate follows the day.
        peak_s: time of day of the peak; None: spread over the day.
        drift_per_day: share of the rate that each day of the replay adds.
        swing_s: 0, or for how long even and odd numbers take turns in sending SWING times as much as the others.
        on: shard of all of them at the beginning; empty: where hashing puts each.
    """

    name: str
    count: int
    per_s: float
    noise: float = 0.0
    zipf: float = 0.0
    daily: float = 0.0
    peak_s: float | None = None
    drift_per_day: float = 0.0
    swing_s: float = 0.0
    on: str = ""

    @property
    def order_params(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f"{self.name}-{number}" for number in range(self.count))


@dataclass(frozen=True)
class Times:
    """Order params that match a pattern send `factor` times as much in [start_s, end_s); `kind` if it was announced."""

    start_s: float
    end_s: float
    factor: float
    pattern: str
    kind: str = ""

    def concerns(self, order_param: str) -> bool:
        """Return whether an order param matches."""
        return fnmatchcase(order_param, self.pattern)


@dataclass(frozen=True)
class Lost:
    """A shard does not answer in [start_s, end_s); what it holds stays on it."""

    start_s: float
    end_s: float
    shard_id: str


@dataclass(frozen=True)
class Joining:
    """A shard of some rate that is there from `start_s` on."""

    shard_id: str
    per_s: float
    start_s: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """The whole.

    Attributes:
        title: what it shows, in a line or a few.
        step_s: length of a bin.
        history_s, length_s: what is known at the beginning, and what is replayed.
        forecaster: `baseline`, or `events`, which has learnt what announced events of a kind have brought.
        seed: of the noise.
        headroom: of the balancer.

    Raises:
        BadInputError: on construction, if parts do not fit together.
    """

    title: str
    groups: tuple[Group, ...]
    shards: tuple[Joining, ...]
    times: tuple[Times, ...] = ()
    lost: tuple[Lost, ...] = ()
    step_s: int = 600
    history_s: int = 3 * DAY_S
    length_s: int = DAY_S
    forecaster: str = "baseline"
    seed: int = 1
    headroom: float = 0.9

    def __post_init__(self) -> None:
        names = {shard.shard_id for shard in self.shards}
        present = [shard for shard in self.shards if shard.start_s <= 0]
        unknown = sorted({each.on for each in self.groups if each.on} - {shard.shard_id for shard in present})
        _require(bool(self.groups), "it has no traffic; add a line such as: traffic shop x20 10/s")
        _require(len({group.name for group in self.groups}) == len(self.groups), "two groups of traffic have one name")
        _require(len(present) >= 2, "it needs two shards at the beginning, such as: shards 4 x 100/s")
        _require(not unknown, f"traffic is on {', '.join(unknown)}, which is not there at the beginning")
        for each in self.lost:
            _require(each.shard_id in names, f"it loses {each.shard_id}, which it does not have")
        for each in self.times:
            known = any(each.concerns(name) for group in self.groups for name in group.order_params)
            _require(known, f"no order param matches {each.pattern!r}")
        _require(self.history_s >= self.step_s, "it needs at least one step of history")
        _require(self.length_s >= self.step_s, "it needs at least one step to replay")
        _require(self.forecaster in FORECASTERS, f"forecaster is one of {', '.join(FORECASTERS)}")

    @property
    def bins(self) -> int:
        """How many bins are replayed."""
        return self.length_s // self.step_s

    @property
    def first_bin(self) -> int:
        """How many bins are known at the beginning."""
        return self.history_s // self.step_s


def _require(holds: bool, rule: str) -> None:  # noqa: FBT001  a condition, not a mode
    if not holds:
        raise BadInputError(f"scenario: {rule}")

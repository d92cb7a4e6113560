"""What `plb demo` was asked to do, checked once and then handed on as one value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

ARMS = ("static", "predictive")
ORDER_PARAMS_MAX = 300


@dataclass(frozen=True)
class DemoOptions:
    """The options of `plb demo`.

    Attributes:
        trace: file to replay; None replays the packaged sample.
        order_params: keep only this many, the busiest ones; 1 or more.
        shards: embedded shards to start; 2 or more.
        bins: how many bins of the trace to replay.
        seconds_per_bin: wall seconds in which one bin is replayed.
        start_s: start of the first bin, seconds since the Unix epoch; None lets the demo choose.
        utilisation: mean load over the replay as a share of all shards' service capacity, in (0, 1].
        rate: mean replayed messages per wall second over all order params; None lets the demo choose.
        json_path: where to write the result; None writes none.
        keep_serving: leave service and dashboard up after the end, until Ctrl-C.
        port: of the API and dashboard; 0 takes a free one.
        seed: of every random choice.
        state_dir: where journal, history and shards keep their data; None uses a temporary folder.
        arms: which arms to run, in this order; a subset of `ARMS`.
    """

    trace: Path | None = None
    order_params: int = ORDER_PARAMS_MAX
    shards: int = 4
    bins: int = 96
    seconds_per_bin: float = 0.8
    start_s: int | None = None
    utilisation: float = 0.8
    rate: float | None = None
    json_path: Path | None = None
    keep_serving: bool = False
    port: int = 0
    seed: int = 1
    state_dir: Path | None = None
    arms: tuple[str, ...] = ARMS

    def __post_init__(self) -> None:
        _require(self.order_params >= 1, "--order-params", "must be 1 or more")
        _require(self.shards >= 2, "--shards", "must be 2 or more: with one shard there is nowhere to move to")
        _require(self.bins >= 1, "--bins", "must be 1 or more")
        _require(self.seconds_per_bin > 0, "--seconds-per-bin", "must be above 0")
        _require(0 < self.utilisation <= 1, "--utilisation", "must be above 0 and at most 1")
        _require(self.rate is None or self.rate > 0, "--rate", "must be above 0")
        _require(0 <= self.port <= 65535, "--port", "must be between 0 and 65535; 0 takes a free one")
        _require(bool(self.arms), "--arms", f"names no arm; give one or more of {', '.join(ARMS)}")


def _require(holds: bool, option: str, rule: str) -> None:  # noqa: FBT001  a condition, not a mode
    if not holds:
        raise BadInputError(f"{option} {rule}")


def parse_arms(text: str) -> tuple[str, ...]:
    """Return the arms of a comma-separated list, without repeats.

    Raises:
        BadInputError: one of them is not known.
    """
    arms = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for arm in arms:
        if arm not in ARMS:
            raise BadInputError(f"--arms: unknown arm {arm!r}; the known ones are {', '.join(ARMS)}")
    return arms


def parse_start(text: str) -> int:
    """Return seconds since the Unix epoch of an ISO 8601 time; without an offset it is taken as UTC.

    Raises:
        BadInputError: it is not such a time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(f"--start: {text!r} is not a time in ISO 8601, for example 2013-11-27T06:00") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())

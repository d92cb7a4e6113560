"""Scenarios as text: one statement a line, `#` in front of what it shows, and below a line of `=` what came of it.

    # A flash crowd that was announced: shops sell tickets at six.
    step 10m                                             length of a bin; 10m unless said
    history 7d                                           what is known at the beginning; 3d
    length 1d                                            what is replayed; 1d
    seed 1                                               of the noise; 1
    headroom 0.9                                         of the balancer; 0.9
    forecaster events                                    or baseline, which knows no events; baseline
    shards 4 x 100/s                                     shard-0 .. shard-3, each serves 100 messages a second
    traffic shop x20 12/s noise 0.05 daily 0.5 peak 14h  shop-0 .. shop-19, each 12 messages a second on average
    at -18h times 6 shop-3 for 2h announced campaign     times are from the beginning of the replay; so this is history
    at 6h times 6 shop-3 for 2h announced campaign       without `announced` nobody knew; without `for`, until the end
    at 6h lose shard-1 for 1h                            it does not answer; what it holds stays on it
    at 6h add 1 x 100/s                                  the next one, shard-4
    ====
    (what came of it: see `outcome`)

Traffic may also have `zipf A` (sizes differ), `peak spread` (each has its own time of day), `drift D` (adds the share D a
day), `swing T` (even and odd numbers take turns, T each), `on SHARD` (all of them begin there). Times: 90s, 10m, 6h, 2d.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError
from plb_ray.simulation.scenarios.scenario import Group, Joining, Lost, Scenario, Times

if TYPE_CHECKING:
    from collections.abc import Callable

RULE = "===="
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
FOREVER_S = float("inf")
Words = list[str]


def split(text: str) -> tuple[str, str]:
    """Return what a file says and, without the line between, what came of it; empty if it was never played."""
    said, _, came = text.partition(f"\n{RULE}\n")
    return said.rstrip("\n") + "\n", came


def parse(text: str, origin: str) -> Scenario:
    """Return the scenario of a file's text; what came of it is not read.

    Args:
        text: see the module.
        origin: names it in errors.

    Raises:
        BadInputError: naming the line.
    """
    said, _ = split(text)
    reader = _Reader()
    for number, line in enumerate(said.splitlines(), 1):
        try:
            reader.read(line)
        except (BadInputError, ValueError, IndexError) as error:
            why = str(error) if isinstance(error, BadInputError) else "it cannot be read"
            raise BadInputError(f"scenario {origin}, line {number}: {line.strip()!r}: {why}; see docs/replay.md") from error
    try:
        return reader.scenario()
    except BadInputError as error:
        raise BadInputError(f"{origin}: {error}") from error


class _Reader:
    """Takes statements one after the other."""

    def __init__(self) -> None:
        self._title: list[str] = []
        self._values: dict[str, object] = {}
        self._groups: list[Group] = []
        self._shards: list[Joining] = []
        self._times: list[Times] = []
        self._lost: list[Lost] = []
        self._statements: dict[str, Callable[[Words], None]] = {
            "step": lambda words: self._set("step_s", int(seconds(_only(words)))),
            "history": lambda words: self._set("history_s", int(seconds(_only(words)))),
            "length": lambda words: self._set("length_s", int(seconds(_only(words)))),
            "seed": lambda words: self._set("seed", int(_only(words))),
            "headroom": lambda words: self._set("headroom", _share(_only(words))),
            "forecaster": lambda words: self._set("forecaster", _only(words)),
            "shards": lambda words: self._add_shards(words, 0.0),
            "traffic": lambda words: self._groups.append(_group(words)),
            "at": self._at,
        }

    def read(self, line: str) -> None:
        """Take a line."""
        if line.startswith("#"):
            self._title.append(line[1:].strip())
            return
        words = line.split()
        if not words:
            return
        statement = self._statements.get(words[0])
        if statement is None:
            raise BadInputError(f"unknown word {words[0]!r}; known are {', '.join(self._statements)}")
        statement(words[1:])

    def scenario(self) -> Scenario:
        """Return what was read."""
        title = " ".join(self._title)
        parts = (tuple(self._groups), tuple(self._shards), tuple(self._times), tuple(self._lost))
        return Scenario(title, *parts, **self._values)  # type: ignore[arg-type]  # keys are fields, values of their types

    def _set(self, name: str, value: object) -> None:
        if name in self._values:
            raise BadInputError("it is said twice")
        self._values[name] = value

    def _add_shards(self, words: Words, start_s: float) -> None:
        count, _by, rate = words
        if _by != "x":
            raise BadInputError("say how many of which rate, such as: 4 x 100/s")
        per_s = _rate(rate)
        self._shards += [
            Joining(f"shard-{number}", per_s, start_s)
            for number in range(len(self._shards), len(self._shards) + _positive(count))
        ]

    def _at(self, words: Words) -> None:
        at_s, act, rest = seconds(words[0]), words[1], words[2:]
        if act == "add":
            self._add_shards(rest, at_s)
        elif act == "lose":
            until_s, rest = _until(at_s, rest[1:]), rest[:1]
            self._lost.append(Lost(at_s, until_s, _only(rest)))
        elif act == "times":
            self._times.append(_times(at_s, rest))
        else:
            raise BadInputError(f"unknown word {act!r}; known are times, lose, add")


def seconds(text: str) -> float:
    """Return the seconds of a time such as 90s, 10m, -6h, 2d.

    Raises:
        BadInputError: it is not one.
    """
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise BadInputError(f"{text!r} is not a time such as 90s, 10m, 6h or 2d")
    return float(found[1]) * UNITS_S[found[2]]


def _group(words: Words) -> Group:
    name, count, rate, *rest = words
    if not re.fullmatch(r"x\d+", count):
        raise BadInputError(f"{count!r} is not a number of order params such as x20")
    group = Group(name, _positive(count[1:]), _rate(rate))
    if len(rest) % 2:
        raise BadInputError(f"{rest[-1]!r} has no value")
    for word, value in zip(rest[::2], rest[1::2], strict=True):
        group = _with(group, word, value)
    return group


def _with(group: Group, word: str, value: str) -> Group:
    if word in ("noise", "zipf", "drift"):
        return replace(group, **{"drift_per_day" if word == "drift" else word: float(value)})  # type: ignore[arg-type]
    if word == "daily":
        return replace(group, daily=_share(value), peak_s=group.peak_s if group.peak_s is not None else 12 * UNITS_S["h"])
    if word == "peak":
        return replace(group, peak_s=None if value == "spread" else seconds(value))
    if word == "swing":
        return replace(group, swing_s=seconds(value))
    if word == "on":
        return replace(group, on=value)
    raise BadInputError(f"unknown word {word!r}; known are noise, zipf, daily, peak, drift, swing, on")


def _times(at_s: float, words: Words) -> Times:
    factor, pattern, *rest = words
    kind = ""
    if "announced" in rest:
        place = rest.index("announced")
        kind, rest = rest[place + 1], [*rest[:place], *rest[place + 2 :]]
    value = float(factor)
    if value < 0:
        raise BadInputError("a factor must not be negative")
    return Times(at_s, _until(at_s, rest), value, pattern, kind)


def _until(at_s: float, words: Words) -> float:
    """Return the end of `for DURATION`, or for ever."""
    if not words:
        return FOREVER_S
    word, duration = words
    if word != "for":
        raise BadInputError(f"unknown word {word!r}; known is for")
    return at_s + seconds(duration)


def _only(words: Words) -> str:
    if len(words) != 1:
        raise BadInputError("it takes one value")
    return words[0]


def _rate(text: str) -> float:
    """Return messages per second of a word such as 100/s."""
    value = float(text.removesuffix("/s"))
    if not text.endswith("/s") or not 0 < value < FOREVER_S:
        raise BadInputError(f"{text!r} is not a rate above 0 such as 100/s")
    return value


def _positive(text: str) -> int:
    if int(text) < 1:
        raise BadInputError("there must be at least one")
    return int(text)


def _share(text: str) -> float:
    if not 0 < float(text) <= 1:
        raise BadInputError(f"{text!r} is not a share above 0 and at most 1")
    return float(text)

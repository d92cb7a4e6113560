"""A small queue of somebody's own: order params in one SQLite file, spread over shards that each serve so much a second.

It stands for the queue that you have. Messages of an order param are numbered from 1 without gaps, belong to the shard that
took them, and are given out by that shard in order. An order param has an *epoch*, which rises with every change of its
owner; messages taken under one epoch on one shard are a segment. All calls are synchronous; each is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.errors import (
    BadInputError,
    MovedError,
    NotTheHolderError,
    SequenceGapError,
    StaleEpochError,
    UnknownOrderParamError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LEASE_S = 10.0  # a consumer that is silent for so long loses the order params that it holds
SEGMENT = 100  # messages, after which an order param with several shards goes on to its next one
_TABLES = """
CREATE TABLE IF NOT EXISTS placed (name TEXT PRIMARY KEY, shard TEXT, epoch INTEGER, rotation TEXT, change INTEGER,
    last_seq INTEGER DEFAULT 0, acked_seq INTEGER DEFAULT 0, bytes INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS message (name TEXT, seq INTEGER, shard TEXT, epoch INTEGER, producer TEXT, producer_seq INTEGER,
    at_s REAL, payload BLOB, PRIMARY KEY (name, seq));
CREATE TABLE IF NOT EXISTS producer (name TEXT, producer TEXT, last INTEGER, seq INTEGER, PRIMARY KEY (name, producer));
"""


@dataclass
class Shard:
    """One shard: where its data plane listens, and how many messages it gives out per second, which is its capacity."""

    shard_id: str
    rate_per_s: float
    endpoint: str = ""
    served_total: int = 0
    served: Counter[int] = field(default_factory=Counter)  # by second
    _ready_s: float = field(default_factory=monotonic_s)

    def allowed(self, most: int) -> int:
        """Return how many messages may go out now: what it could serve since it was last busy, a second's worth at most."""
        self._ready_s = max(self._ready_s, monotonic_s() - 1)
        return max(0, min(most, int((monotonic_s() - self._ready_s) * self.rate_per_s)))

    def note_served(self, messages: int) -> None:
        """Count messages that went out."""
        self._ready_s += messages / self.rate_per_s
        self.served_total += messages
        self.served = Counter({s: n for s, n in self.served.items() if s > int(monotonic_s()) - 3})
        self.served[int(monotonic_s())] += messages

    def per_s(self) -> float:
        """Return what it served in the last whole second."""
        return self.served[int(monotonic_s()) - 1]


class SmallQueue:
    """The queue over all its shards."""

    def __init__(self, path: Path, shards: Sequence[Shard]) -> None:
        self.shards = {shard.shard_id: shard for shard in shards}
        self.database = sqlite3.connect(path)
        self.database.row_factory = sqlite3.Row
        self.database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_TABLES}")
        self._out: dict[str, tuple[str, int, float]] = {}  # order param -> its consumer, delivered up to, lease until

    def placed(self, name: str) -> sqlite3.Row:
        """Return an order param's row. Raises UnknownOrderParamError."""
        if row := self.database.execute("SELECT * FROM placed WHERE name = ?", (name,)).fetchone():
            return row
        raise UnknownOrderParamError(name)

    def known(self, name: str) -> bool:
        """Whether an order param was ever placed."""
        return bool(self.database.execute("SELECT 1 FROM placed WHERE name = ?", (name,)).fetchone())

    def place(self, name: str, rotation: Sequence[str]) -> None:
        """Let an order param live on these shards: on one, or in turn on several. Its backlog stays where it is."""
        with self.database:
            self.database.execute(
                "INSERT INTO placed (name, shard, epoch) VALUES (?, ?, 1) ON CONFLICT DO NOTHING", (name, rotation[0])
            )
            self.database.execute(
                "UPDATE placed SET rotation = ?, change = 1 + (SELECT MAX(IFNULL(change, 0)) FROM placed) WHERE name = ?",
                (json.dumps(rotation if len(rotation) > 1 else []), name),
            )
            if self.placed(name)["shard"] not in rotation:
                self._own(name, rotation[0])

    def move(self, name: str, shard: str, epoch: int, *, backlog: bool) -> int:
        """Make a shard the owner in place of that of an epoch; return how many messages of the backlog went with it."""
        if epoch != (current := self.placed(name)["epoch"]):
            raise StaleEpochError(name, epoch, current)
        with self.database:
            self._own(name, shard)
            if not backlog:
                return 0
            update = "UPDATE message SET shard = ?, epoch = ? WHERE name = ?"
            return self.database.execute(update, (shard, epoch + 1, name)).rowcount

    def behind(self, name: str) -> list[str]:
        """Return the shards of earlier segments that are not consumed yet, oldest first."""
        segments = "SELECT shard FROM message WHERE name = ? AND epoch < ? GROUP BY epoch ORDER BY epoch"
        return [row["shard"] for row in self.database.execute(segments, (name, self.placed(name)["epoch"]))]

    def _own(self, name: str, shard: str) -> None:
        change = "change = 1 + (SELECT MAX(IFNULL(change, 0)) FROM placed)"
        self.database.execute(f"UPDATE placed SET shard = ?, epoch = epoch + 1, {change} WHERE name = ?", (shard, name))

    def append(self, shard: str, name: str, epoch: int, producer: str, first: int, payloads: Sequence[bytes]) -> int:
        """Store messages that their producer numbers from `first` on, once, and return the last one's sequence."""
        row = self.placed(name)
        if row["shard"] != shard:
            raise MovedError(name, row["shard"], self.shards[row["shard"]].endpoint, row["epoch"])
        if row["epoch"] != epoch:
            raise StaleEpochError(name, epoch, row["epoch"])
        if not payloads or first < 1 or not producer:
            raise BadInputError("an append needs a producer, its number and payloads")
        found = self.database.execute("SELECT last, seq FROM producer WHERE (name, producer) = (?, ?)", (name, producer))
        last, last_seq = found.fetchone() or (0, 0)
        if first > last + 1:
            raise SequenceGapError(producer, last)
        new = payloads[last + 1 - first :]
        if new:
            last_seq = row["last_seq"] + len(new)
            self._store(row, producer, last + 1, new)
        return last_seq

    def _store(self, row: sqlite3.Row, producer: str, first: int, payloads: Sequence[bytes]) -> None:
        name, seq, now_s = row["name"], row["last_seq"], wall_time_s()
        rows = [
            (name, seq + 1 + n, row["shard"], row["epoch"], producer, first + n, now_s, payload)
            for n, payload in enumerate(payloads)
        ]
        last, last_seq, size = first + len(rows) - 1, seq + len(rows), sum(map(len, payloads))
        rotation = json.loads(row["rotation"])
        with self.database:
            self.database.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self.database.execute("REPLACE INTO producer VALUES (?, ?, ?, ?)", (name, producer, last, last_seq))
            self.database.execute("UPDATE placed SET last_seq = ?, bytes = bytes + ? WHERE name = ?", (last_seq, size, name))
            if rotation and seq // SEGMENT != last_seq // SEGMENT:
                at = rotation.index(row["shard"]) if row["shard"] in rotation else -1
                self._own(name, rotation[(at + 1) % len(rotation)])

    def poll(self, shard: str, consumer: str, names: Sequence[str], most: int, *, again: bool) -> list[list[sqlite3.Row]]:
        """Return what a consumer is to handle next, order param by order param; `again`: also what it had before."""
        for name, (holder, _, _) in list(self._out.items()) if again else ():
            if holder == consumer:
                del self._out[name]
        left, batches = self.shards[shard].allowed(most), []
        here = "SELECT name FROM message WHERE shard = ? GROUP BY name ORDER BY MIN(at_s)"
        for name in names or [row["name"] for row in self.database.execute(here, (shard,))]:
            row, holder = self.placed(name), self._out.get(name, ("", 0, 0.0))
            if holder[0] not in ("", consumer) and holder[2] > monotonic_s() and not names:
                continue
            after = max(row["acked_seq"], holder[1] if holder[0] == consumer else 0)
            # What lies on another shard comes first, until it is acknowledged there.
            found = self.database.execute(
                "SELECT * FROM message WHERE name = ? AND seq > ? AND shard = ?"
                " AND epoch = (SELECT MIN(epoch) FROM message WHERE name = ?) ORDER BY seq LIMIT ?",
                (name, after, shard, name, left),
            ).fetchall()
            self._out[name] = (consumer, found[-1]["seq"] if found else after, monotonic_s() + LEASE_S)
            left -= len(found)
            batches += [found] if found else []
        self.shards[shard].note_served(sum(map(len, batches)))
        return batches

    def ack(self, shard: str, name: str, up_to_seq: int, consumer: str) -> int:
        """Forget the messages up to one that this consumer has handled, and return the last one that is forgotten."""
        row, (holder, _, until_s) = self.placed(name), self._out.get(name, (consumer, 0, 0.0))
        if up_to_seq > row["last_seq"]:
            raise BadInputError(f"{name!r} has {row['last_seq']} messages, not {up_to_seq}")
        if holder != consumer and until_s > monotonic_s():
            raise NotTheHolderError(name, holder)
        lies = self.database.execute("SELECT * FROM message WHERE (name, seq) = (?, ?)", (name, up_to_seq)).fetchone()
        if lies and lies["shard"] != shard:
            raise MovedError(name, lies["shard"], self.shards[lies["shard"]].endpoint, lies["epoch"])
        with self.database:
            self.database.execute("DELETE FROM message WHERE name = ? AND seq <= ?", (name, up_to_seq))
            self.database.execute("UPDATE placed SET acked_seq = MAX(acked_seq, ?) WHERE name = ?", (up_to_seq, name))
        return max(row["acked_seq"], up_to_seq)

    def give_back(self, shard: str, name: str, seq: int, consumer: str, delay_s: float) -> int:
        """Acknowledge what is before a message, and give it and the rest out again, after a delay."""
        acked_seq = self.ack(shard, name, seq - 1, consumer)
        self._out[name] = ("(nobody)", acked_seq, monotonic_s() + delay_s)
        return acked_seq

    def backlogs(self) -> list[sqlite3.Row]:
        """Return what waits or is in flight, per order param and segment, oldest segment first."""
        return self.database.execute(
            "SELECT name, shard, epoch, COUNT(*) AS messages, SUM(LENGTH(payload)) AS bytes, MIN(at_s) AS oldest_s"
            " FROM message GROUP BY name, epoch ORDER BY name, epoch"
        ).fetchall()

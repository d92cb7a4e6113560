"""`python -m tests.calibration`: measure the constants of the physics, and play a minute both ways; 1 if they differ."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from plb_ray.simulation.replay.physics import PhysicsParams
from tests.bench.machine import machine
from tests.calibration.both_ways import LATE_MS_MOST, a_minute, compared, modelled, real
from tests.calibration.constants import copy_cost, fitted, migrations

BINS = 120


def main():
    with tempfile.TemporaryDirectory(prefix="plb-calibration-") as folder:
        found = asyncio.run(_all(Path(folder)))
    return 0 if found else 1


async def _all(folder):
    _say(f"machine: {machine()}")
    rows = await migrations(folder / "migrations")
    overhead_s, per_s = fitted(rows)
    pauses = sorted(pause for backlog, _, pause in rows if backlog == 0)
    _say(f"overhead_s {overhead_s:.3f}, copy_messages_per_s {per_s:,.0f}, pause_s {pauses[len(pauses) // 2] / 1000:.3f}")
    before, during, copied = await copy_cost(folder / "cost")
    cost = max(0.0, (before - during) / copied / 2)
    _say(f"copy_cost {cost:.3f}: {before:,.0f} appends/s before, {during:,.0f} while {copied:,.0f}/s were copied")
    minute = a_minute(BINS)
    seen, report = await real(minute, folder / "minute")
    found = compared(seen, modelled(minute, PhysicsParams(), seen.moved_s))
    _say(f"the move took {seen.moved_s:.3f} s; the sender was at most {report.sent_late_ms_max:.0f} ms late")
    if report.sent_late_ms_max > LATE_MS_MOST:
        _say("too late: the machine is too busy, and these figures are not those of the shards")
    for each in found:
        _say(f"{each.what}: real {each.real:.3f}, modelled {each.modelled:.3f}, allowed {each.allowed:.3f}")
    return all(each.within for each in found)


def _say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

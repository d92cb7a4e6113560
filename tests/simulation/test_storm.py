"""A slice of the storm; `make storm` runs as much of it as there is time for."""

from __future__ import annotations

import asyncio

import pytest

from plb_ray.simulation.storm import report
from plb_ray.simulation.storm.loop import StuckError, VirtualLoop
from plb_ray.simulation.storm.run import Total, run_many, run_one


@pytest.mark.timeout(300)
def test_a_slice_of_the_storm():
    """Hundreds of migrations with faults at random points: nothing lost, reordered, doubled, stuck or left over."""
    total = run_many(migrations=600, seed=1001, processes=2, per_run=100)
    assert not total.bad, report.table(total, 0.0)
    assert total.migrations["forward"] > 0
    assert total.migrations["back"] > 0
    assert total.migrations["chain"] > 0


def test_a_seed_is_one_run():
    """The same seed gives the same run, callback by callback."""
    assert run_one(5, 30) == run_one(5, 30)


def test_the_report_says_how_to_see_a_violation_again():
    """A violation is shown with its seed and the command that repeats its run."""
    total = Total()
    total.add(run_one(7, 5).__class__(seed=7, wanted=5, violations=("k0: lost",)))
    text = report.table(total, 1.0)
    assert "k0: lost" in text
    assert "--one --seed 7 --per-run 5" in text


def test_time_passes_only_when_nothing_is_ready():
    """A sleep of hours takes none, timers fire in order, and asyncio's timeouts and groups work."""
    loop, seen = VirtualLoop(start_s=0.0), []

    async def sleeper(seconds):
        await asyncio.sleep(seconds)
        seen.append(loop.time())

    async def main():
        await asyncio.gather(sleeper(7200), sleeper(1), sleeper(60))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()

    loop.run_until_complete(main())
    assert seen == [1, 60, 7200]
    assert loop.time() == 7205


def test_what_can_never_end_is_an_error():
    """Waiting for what nobody will do ends with an error, not for ever."""
    loop = VirtualLoop()
    with pytest.raises(StuckError):
        loop.run_until_complete(asyncio.wait_for(asyncio.Event().wait(), None))

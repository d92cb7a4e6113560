"""Following a source: from where to where it is asked, in which pages, and what happens when it fails."""

import numpy as np
import pytest

from plb_ray.domain.samples import PushOutcome, SampleBatch, SampleKind, Series
from plb_ray.errors import RetryableError
from plb_ray.ingest.follower import FIRST_PAGE_STEPS, OVERLAP_STEPS, PAGE_SAMPLES, Follower, Pace
from plb_ray.ingest.prometheus import POINTS_MAX, Page

STEP_S = 60
NOW_S = 1_385_560_830.0  # half a step after a line of the grid
LINE_S = 1_385_560_800


class Ended(Exception):  # noqa: N818  no error: ends an endless run
    pass


class World:
    """A source that notes what it is asked, a history that notes what it gets, and a clock that the test moves."""

    def __init__(self, series=1, rounds=1, backfill_s=0.0, every_s=60.0):
        self.at_s, self.series, self.rounds = NOW_S, series, rounds
        self.asked, self.taken, self.reports, self.failures = [], [], [], []
        self.follower = Follower(self, self.take, self.reports.append, self, Pace(STEP_S, every_s, backfill_s))

    def now_s(self):
        return self.at_s

    async def sleep_until(self, at_s):
        self.rounds -= 1
        if not self.rounds:
            raise Ended
        self.at_s = at_s

    async def read(self, first_s, end_s):
        self.asked.append((first_s, end_s))
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        one = Series("a", np.array([float(first_s)]), np.array([1.0]))
        return Page(SampleBatch(SampleKind.RATE, (one,) * self.series), PushOutcome())

    async def take(self, batch):
        self.taken.append(batch)
        return PushOutcome(new=len(batch.series))

    async def run(self):
        with pytest.raises(Ended):
            await self.follower.run()


async def test_the_first_round_goes_back_and_later_ones_overlap():
    """Ended steps only; first all of the backfill, then what is new and a little more."""
    world = World(rounds=3, backfill_s=600.0)
    await world.run()
    assert world.asked == [
        (LINE_S - 600, LINE_S),
        (LINE_S - OVERLAP_STEPS * STEP_S, LINE_S + STEP_S),
        (LINE_S + STEP_S - OVERLAP_STEPS * STEP_S, LINE_S + 2 * STEP_S),
    ]
    assert world.reports == ["", "", ""]


@pytest.mark.parametrize("series", [1, 50, 10 * PAGE_SAMPLES])
async def test_pages_join_and_are_as_long_as_their_width_allows(series):
    """A long backfill comes in pages without holes; none asks for more points or samples than is good."""
    world = World(series=series, backfill_s=200 * STEP_S if series > 50 else 20_000 * STEP_S)
    await world.run()
    assert world.asked[0] == (world.asked[0][0], world.asked[0][0] + FIRST_PAGE_STEPS * STEP_S)
    assert all(before[1] == after[0] for before, after in zip(world.asked, world.asked[1:], strict=False))
    assert world.asked[-1][1] == LINE_S
    steps = [(end_s - first_s) // STEP_S for first_s, end_s in world.asked[1:]]
    assert max(steps) == max(1, min(POINTS_MAX - 2, PAGE_SAMPLES // series))


async def test_a_failure_is_reported_and_made_up_for():
    """A page that fails ends the round with its reason; the next round goes on from there."""
    world = World(rounds=3, backfill_s=2 * FIRST_PAGE_STEPS * STEP_S)
    world.failures = [None, RetryableError("Prometheus sleeps"), ZeroDivisionError("ours")]
    await world.run()
    first_s = LINE_S - FIRST_PAGE_STEPS * STEP_S
    assert world.asked[1][0] == first_s
    assert {asked[0] for asked in world.asked[2:4]} == {first_s - OVERLAP_STEPS * STEP_S}
    assert world.asked[-1][1] == LINE_S + 2 * STEP_S
    assert world.reports == ["Prometheus sleeps", "unexpected ZeroDivisionError: ours", ""]


async def test_a_clock_that_goes_back_asks_for_no_future():
    """After the clock went back the follower asks from the present, and does not fail."""
    world = World(rounds=2, every_s=-6000.0)
    await world.run()
    assert world.asked == [(LINE_S - 6000 - OVERLAP_STEPS * STEP_S, LINE_S - 6000)]
    assert world.reports == ["", ""]

"""The feedback loop over synthetic traffic whose distribution is known."""

from dataclasses import replace

import numpy as np
import pytest
from courses import DAY_S, HORIZONS, STEP_S, T0, Course, Keeper, follow, found

from plb_ray.control.feedback import Feedback, FeedbackParams
from plb_ray.control.pairing import busiest, kept_steps
from plb_ray.domain.rates import RateHistory, medium_horizon, short_horizon
from plb_ray.errors import BadInputError

SHORT, MEDIUM = HORIZONS


@pytest.mark.parametrize("idle", [0.0, 0.35, 0.87])
async def test_the_truth_is_calibrated_and_serves_on(idle):
    """Coverage of the true quantiles is within 2 points, also of on/off traffic; nobody is demoted."""
    keeper = Keeper()
    feedback = Feedback(keeper=keeper)
    await follow(feedback, Course(idle=idle), 24 * 7)
    for horizon in ("short", "medium"):
        quality = found(feedback, horizon)
        assert quality.coverage_80 == pytest.approx(0.8, abs=0.02)
        assert quality.coverage_95 == pytest.approx(0.95, abs=0.02)
        assert quality.loss < quality.seasonal_naive_loss
    assert keeper.demoted == []


@pytest.mark.parametrize("common", [False, True])
async def test_errors_that_all_order_params_share_are_found(common):
    """The correlation for pooling rises where all rates are off together, and falls where each is off by itself."""
    course, feedback = Course(), Feedback()
    if common:
        course.rates = course.median * (course.rates / course.median)[:1]
    await follow(feedback, course, 24 * 7)
    assert feedback.correlation > 0.5 if common else feedback.correlation < 0.1


async def test_the_seasonal_naive_is_the_same_time_yesterday():
    """Its loss is the mean absolute difference to the day before over the mean rate, of the steps that were compared."""
    course, feedback = Course(), Feedback()
    await follow(feedback, course, 96)
    first_s = found(feedback).since_s
    assert first_s == T0 + 25 * STEP_S
    day = course.rates.astype(np.float32).astype(np.float64)
    near, far = day[:, 24:96], day[:, 25:96]  # the first step is compared from hour 24 on, the second from 25 on
    error = np.abs(near - day[:, 0:72]).sum() + np.abs(far - day[:, 1:72]).sum()
    assert found(feedback).seasonal_naive_loss == pytest.approx(error / (near.sum() + far.sum()))
    assert found(feedback).pairs == near.size + far.size


async def test_intervals_that_are_too_narrow_cost_the_champion_its_place_once():
    """After two days both horizons are demoted, with the reason; the baseline that follows is not; nobody is told twice."""
    course, keeper = Course(), Keeper()
    feedback = Feedback(keeper=keeper)
    last = await follow(feedback, course, 24 * 4, width=0.3)
    assert keeper.horizons == ["medium", "short"]
    for _, reason, at_s in keeper.demoted:
        assert reason.startswith(("the 80% interval held 2", "the 80% interval held 3"))
        assert at_s == T0 + 3 * DAY_S + STEP_S  # two days after the first hour that was compared
    last = await follow(feedback, course, 24 * 8, first=last + 1, width=0.3, source="seasonal_naive")
    assert len(keeper.demoted) == 2
    assert found(feedback, "short", "baseline").pairs > 1000


async def test_the_next_champion_has_two_days():
    """After a demotion only forecasts made since count: a new version is demoted after two days of its own, not before."""
    course, keeper = Course(), Keeper()
    feedback = Feedback(keeper=keeper)
    last = await follow(feedback, course, 24 * 4, width=0.3)
    demoted_s = max(at_s for horizon, _, at_s in keeper.demoted if horizon == "short")
    assert found(feedback).since_s > demoted_s + STEP_S
    last = await follow(feedback, course, int(demoted_s - T0) // STEP_S + 48, first=last + 1, width=0.3)
    assert keeper.horizons.count("short") == 1
    await follow(feedback, course, last + 4, first=last + 1, width=0.3)
    assert keeper.horizons.count("short") == 2


async def test_worse_than_the_seasonal_naive_is_demoted():
    """Three times what comes: the reason names both losses."""
    keeper = Keeper()
    await follow(Feedback(keeper=keeper), Course(), 24 * 4, factor=3.0)
    assert keeper.horizons == ["medium", "short"]
    assert all(reason.startswith("worse than the seasonal naive: loss ") for _, reason, _ in keeper.demoted)


async def test_a_keeper_that_fails_is_asked_again():
    """The failure is told, forecasts go on, and the next tick demotes."""
    course, keeper = Course(), Keeper()
    keeper.failing = OSError("disk full")
    feedback = Feedback(keeper=keeper)
    last = await follow(feedback, course, 24 * 4, width=0.3)
    assert feedback.error.endswith("champion should be demoted, which failed: OSError: disk full")
    keeper.failing = None
    await feedback.settle(course.history(last + 1))
    assert (keeper.horizons, feedback.error) == (["medium", "short"], "")


async def test_the_week_slides():
    """After twelve days only the pairs of today and the six UTC days before are counted."""
    course, feedback = Course(order_params=2), Feedback()
    await follow(feedback, course, 24 * 11 + 5)
    quality = found(feedback)
    assert quality.since_s == T0 + 5 * DAY_S
    assert quality.until_s == T0 + 11 * DAY_S + 5 * STEP_S
    assert quality.pairs == 2 * 2 * (6 * 24 + 6)


async def test_a_repeated_cutoff_changes_nothing():
    """The medium forecast comes with each tick and its cutoff only every hour: the first of an hour counts, once."""
    course, feedback = Course(), Feedback()
    for hour in (24, 25):
        await feedback.settle(course.history(hour))
        feedback.note(course.forecast(hour, MEDIUM))
        feedback.note(course.forecast(hour, MEDIUM, factor=9.0))
    await feedback.settle(course.history(26))
    await feedback.settle(course.history(26))
    quality = found(feedback, "medium")
    assert quality.pairs == 2 * 12
    assert quality.loss < 0.3


async def test_a_late_history_is_compared_all_the_same():
    """One settlement after a silence compares what hourly ones would have."""
    course, hourly, late = Course(), Feedback(), Feedback()
    await late.settle(course.history(24))
    for hour in range(24, 60):
        await hourly.settle(course.history(hour))
        for feedback in (hourly, late):
            for horizon in HORIZONS:
                feedback.note(course.forecast(hour, horizon))
    for feedback in (hourly, late):
        await feedback.settle(course.history(100))
    for one, other in zip(hourly.quality(), late.quality(), strict=True):
        assert vars(one) == pytest.approx(vars(other))


async def test_a_step_of_which_nothing_is_known_is_not_compared():
    """Hours that the history only filled up are left out; so are those that it does not reach back to any more."""
    course, feedback = Course(order_params=3), Feedback()
    await feedback.settle(course.history(24))
    for hour in range(24, 34):
        feedback.note(course.forecast(hour, SHORT))
    gaps = T0 + STEP_S * np.array([25, 30], dtype=np.int64)
    await feedback.settle(course.history(40), gaps)
    assert found(feedback).pairs == 3 * (10 - 2 + 10 - 2)
    gone = Feedback()
    await gone.settle(course.history(24))
    gone.note(course.forecast(24, SHORT))
    await gone.settle(course.history(90, first=60))
    assert gone.quality() == ()
    assert gone._pending == {}


async def test_a_gap_within_an_hour_spoils_the_hour():
    """With steps of ten minutes one unknown step makes the hour of the medium horizon unknown."""
    course = Course(order_params=2)
    fine = RateHistory(course.names, T0, 600, np.repeat(course.rates[:, :26], 6, axis=1))
    for gaps, pairs in ((np.zeros(0, dtype=np.int64), 2), (np.array([T0 + 24 * STEP_S + 1800]), 0)):
        feedback = Feedback()
        await feedback.settle(fine.last(24 * 6))
        feedback.note(course.forecast(24, MEDIUM))
        await feedback.settle(fine, gaps)
        assert sum(quality.pairs for quality in feedback.quality()) == pairs


async def test_a_step_counts_only_when_it_has_been_observed_whole():
    """An hour that lacks its last ten minutes is waited for."""
    course, feedback = Course(order_params=2), Feedback()
    fine = RateHistory(course.names, T0, 600, np.repeat(course.rates[:, :26], 6, axis=1))
    await feedback.settle(replace(fine, messages_per_s=fine.messages_per_s[:, : 24 * 6]))
    feedback.note(course.forecast(24, MEDIUM))
    await feedback.settle(replace(fine, messages_per_s=fine.messages_per_s[:, : 25 * 6 - 1]))
    assert feedback.quality() == ()
    await feedback.settle(replace(fine, messages_per_s=fine.messages_per_s[:, : 25 * 6]))
    assert found(feedback, "medium").pairs == 2


async def test_order_params_come_and_go():
    """One that is in the forecast and not in the history is left out, and a different order does no harm."""
    course, feedback = Course(order_params=3), Feedback()
    await feedback.settle(course.history(24))
    feedback.note(course.forecast(24, SHORT))
    await feedback.settle(course.history(25).rows(("op-2", "op-0")))
    quality = found(feedback)
    assert quality.pairs == 2
    observed = course.rates[[0, 2], 24]
    assert quality.seasonal_naive_loss == pytest.approx(np.abs(observed - course.rates[[0, 2], 0]).sum() / observed.sum())


async def test_a_spoiled_row_is_left_out():
    """A forecast that is not finite, against the contract, spoils no sum."""
    course, feedback = Course(order_params=3), Feedback()
    await feedback.settle(course.history(24))
    forecast = course.forecast(24, SHORT)
    forecast.messages_per_s[1] = np.nan
    feedback.note(forecast)
    await feedback.settle(course.history(25))
    assert found(feedback).pairs == 2
    assert np.isfinite(found(feedback).loss)


async def test_baseline_rows_are_summed_up_apart():
    """What the baseline foresaw counts for the baseline, and never against a champion."""
    course, feedback = Course(order_params=3), Feedback()
    await feedback.settle(course.history(24))
    feedback.note(replace(course.forecast(24, SHORT), sources=("ensemble", "seasonal_naive", "seasonal_naive")))
    await feedback.settle(course.history(25))
    assert (found(feedback).pairs, found(feedback, forecaster="baseline").pairs) == (1, 2)


async def test_of_twenty_thousand_the_busiest_five_thousand_are_followed():
    """What is held is bounded by 5,000 x levels x 4 bytes per pending step, whoever and however many there are."""
    course, feedback = Course(order_params=20_000, hours=2), Feedback()
    await feedback.settle(course.history(24))
    feedback.note(course.forecast(24, MEDIUM))
    kept = next(iter(feedback._pending.values())).forecast
    assert kept.messages_per_s.nbytes == 5_000 * len(kept.levels) * 4 * len(kept_steps(MEDIUM))
    mean = course.rates[:, :24].mean(axis=1)
    assert set(kept.order_params) == {course.names[row] for row in np.argsort(-mean)[:5_000]}
    await feedback.settle(course.history(25))
    assert found(feedback, "medium").pairs == 5_000


async def test_the_busiest_are_chosen_anew_each_day():
    """Who is busy today is followed from the next UTC day on; of equal ones the first."""
    course, feedback = Course(order_params=3), Feedback(FeedbackParams(order_params_max=1))
    course.rates[:] = 1.0
    course.rates[2, 24:] = 9.0
    await feedback.settle(course.history(24))
    await feedback.settle(course.history(47))
    assert feedback._followed == frozenset({"op-0"})
    await feedback.settle(course.history(48))
    assert feedback._followed == frozenset({"op-2"}) == busiest(course.history(48), 1)


@pytest.mark.parametrize(("horizon", "steps"), [(short_horizon(60), [0, 14]), (medium_horizon(60), [0, 5, 11, 23])])
def test_which_steps_are_compared(horizon, steps):
    """The nearest and the farthest, and of the medium horizon those that end 6 and 12 hours ahead."""
    assert kept_steps(horizon) == steps


@pytest.mark.parametrize("wrong", [{"order_params_max": 0}, {"window_days": 2}])
def test_params_out_of_range_are_refused(wrong):
    """Parameters are checked when they are made."""
    with pytest.raises(BadInputError):
        FeedbackParams(**wrong)

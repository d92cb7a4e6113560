from __future__ import annotations

import math

import numpy as np
import pytest

from models.drift import DriftParams, drift
from models.registry_entry import What
from models.trials import Trial
from models.verdict import ChampionParams, decide
from plb_ray.errors import BadInputError

PARAMS = ChampionParams()
NOISE = np.random.default_rng(1).normal(0, 0.01, 48)


def trial(wql: float, seed: int = 0) -> Trial:
    noise = np.random.default_rng(seed).normal(0, 0.01, 48)
    losses = wql + noise - noise.mean()
    return Trial(losses, float(losses.mean()), 0.8, 0.95)


@pytest.mark.parametrize(
    ("challenger", "champion", "vacancy", "what", "why"),
    [
        (0.20, None, "", What.PROMOTED, "there was no champion"),
        (0.20, None, "it cannot be read", What.PROMOTED, "it cannot be read"),
        (0.31, None, "", What.KEPT, "worse than the seasonal naive, which serves"),
        (0.31, None, "it cannot be read", What.DEMOTED, "it cannot be read"),
        (0.20, 0.22, "", What.PROMOTED, "significant gain"),
        (0.219, 0.22, "", What.KEPT, "no significant gain"),
        (0.25, 0.22, "", What.KEPT, "no significant gain"),
        (0.31, 0.22, "", What.KEPT, "the challenger is worse than the seasonal naive"),
        (0.299, 0.305, "", What.PROMOTED, "the champion is worse than the seasonal naive"),
        (0.31, 0.305, "", What.DEMOTED, "the champion is worse than the seasonal naive"),
        (math.nan, None, "", What.KEPT, "which serves"),
        (0.20, math.nan, "", What.PROMOTED, "the champion is worse"),
    ],
)
def test_who_serves_after_a_challenge(challenger, champion, vacancy, what, why):
    """Only a significant gain replaces a sound champion, and nothing that is worse than the baseline ever serves."""
    sitting = None if champion is None else trial(champion, seed=1)
    decision = decide(trial(challenger), trial(0.30, seed=2), sitting, vacancy, 0, PARAMS)
    assert decision.what == what
    assert why in decision.reason


def test_losses_as_they_were_are_no_drift():
    """48 losses from the distribution of the reference leave the statistic below its threshold."""
    report = drift(0.2 + NOISE[::-1], np.arange(48), 0.2 + NOISE)
    assert not report.drifted
    assert report.since_s is None
    assert 0 <= report.statistic < report.threshold


def test_a_drift_is_found_with_the_time_it_began():
    """Losses that rise by three standard deviations from the 30th origin on are dated to it."""
    risen = 0.2 + NOISE[::-1] + np.where(np.arange(48) >= 30, 0.03, 0.0)
    report = drift(risen, 1000 + 600 * np.arange(48), 0.2 + NOISE)
    assert report.drifted
    assert abs(report.since_s - (1000 + 600 * 30)) <= 2 * 600


def test_a_fall_of_the_losses_and_one_bad_day_are_no_drift():
    """Traffic that became easier, or three outliers however large, are none."""
    assert not drift(0.1 + NOISE, np.arange(48), 0.2 + NOISE).drifted
    outliers = 0.2 + NOISE[::-1] + np.where(np.isin(np.arange(48), [7, 8, 9]), 1e6, 0.0)
    assert not drift(outliers, np.arange(48), 0.2 + NOISE).drifted


@pytest.mark.parametrize(
    ("losses", "reference"), [([], [0.2] * 20), ([9.0] * 20, [0.2] * 7), ([9.0] * 20, []), ([math.nan], [0.2] * 9)]
)
def test_without_enough_to_compare_there_is_no_drift(losses, reference):
    """No losses, or a reference of fewer than eight, say nothing."""
    report = drift(losses, np.arange(len(losses)), reference)
    assert (report.drifted, report.statistic) == (False, 0.0)


def test_a_reference_without_noise_does_not_call_everything_drift():
    """Where the reference is constant a loss one per cent higher is no drift, twice the loss is."""
    assert not drift([0.202] * 48, np.arange(48), [0.2] * 48).drifted
    assert drift([0.4] * 48, np.arange(48), [0.2] * 48).drifted


@pytest.mark.parametrize(
    "make", [lambda: ChampionParams(p_max=0.0), lambda: ChampionParams(keep=0), lambda: DriftParams(threshold=0.0)]
)
def test_parameters_are_checked(make):
    """A parameter out of its range is refused when it is set."""
    with pytest.raises(BadInputError):
        make()

import numpy as np
import pytest
from scipy.special import ndtr

from plb_ray.control.common_errors import PRIOR, CommonErrors
from plb_ray.history.outcomes import Outcomes, Pairs

STEP_S = 600


def came(scores, widths, cutoff_s):
    """Outcomes in which order param k lay at the normal score z_k of a forecast of this width."""
    scores, widths = np.asarray(scores, dtype=float), np.asarray(widths, dtype=float)
    quantiles = 100 + widths[:, None] * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    level = ndtr(scores)
    pairs = Pairs(100 + scores, np.full(len(scores), np.nan), quantiles, np.column_stack([level, level]))
    names = tuple(f"op-{row}" for row in range(len(scores)))
    return Outcomes("short", cutoff_s, STEP_S, names, ("ensemble",) * len(names), pairs)


def learnt(rho, steps=2000, seed=1):
    """What is learnt of errors with this correlation, order params being of very different sizes."""
    rng, found, widths = np.random.default_rng(seed), CommonErrors(), np.linspace(1, 30, 20)
    for step in range(steps):
        scores = np.sqrt(rho) * rng.standard_normal() + np.sqrt(1 - rho) * rng.standard_normal(20)
        found.add(came(scores, widths, step * STEP_S))
    return found.correlation


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.6])
def test_the_correlation_of_the_errors_is_found(rho):
    """After two weeks of steps the correlation that the errors were drawn with is known to 0.1."""
    assert learnt(rho) == pytest.approx(rho, abs=0.1)


def test_little_evidence_changes_little():
    """A restart begins at the prior; three steps in which all errors agree do not overturn it."""
    assert CommonErrors().correlation == PRIOR
    assert learnt(1.0, steps=3) < 0.3


def test_it_follows_a_change():
    """Errors that became common two weeks ago are taken as common, whatever was before."""
    found, rng, widths = CommonErrors(), np.random.default_rng(2), np.ones(20)
    for step in range(4000):
        common = step >= 2000
        scores = rng.standard_normal() * np.ones(20) if common else rng.standard_normal(20)
        found.add(came(scores, widths, step * STEP_S))
    assert found.correlation > 0.7


def test_what_says_nothing_of_pairs_is_left_out():
    """A single order param, and forecasts without width, leave the correlation as it was."""
    found = CommonErrors()
    found.add(came([3.0], [1.0], 0))
    found.add(came([3.0, 3.0], [0.0, 0.0], 0))
    assert found.correlation == PRIOR


def test_one_outage_is_not_a_law():
    """However far everything lies off in one step, it counts as SCORE_MAX deviations at most, and stays within [0, 1]."""
    found = CommonErrors()
    found.add(came(np.full(20, 40.0), np.ones(20), 0))
    assert PRIOR < found.correlation < 0.35

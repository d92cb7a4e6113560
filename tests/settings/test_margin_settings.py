"""The margin: one ratio per resource, as a quantile level."""

import pytest

from plb_ray.errors import BadInputError
from plb_ray.settings import Settings, parse_settings


def test_the_defaults_plan_on_the_090_quantile():
    """Nine to one, for each resource."""
    assert Settings().balancer.margin.levels == pytest.approx((0.9, 0.9, 0.9))
    assert Settings().balancer.level == pytest.approx(0.9)


def test_only_the_ratio_counts_and_each_resource_has_its_own():
    """19 to 1 for CPU and 30 to 10 for I/O are 0.95 and 0.75; the highest is what is shown."""
    document = {"balancer": {"margin": {"cpu_overload": 19.0, "io_overload": 30.0, "io_idle": 10.0}}}
    settings = parse_settings(document, "test")
    assert settings.balancer.margin.levels == pytest.approx((0.95, 0.9, 0.75))
    assert settings.balancer.level == pytest.approx(0.95)


@pytest.mark.parametrize(("overload", "idle"), [(1.0, 2.0), (5000.0, 1.0)])
def test_a_margin_below_the_median_or_beyond_any_forecast_is_refused(overload, idle):
    """Below the median half of all steps would overload; beyond 0.999 no forecast tells anything."""
    document = {"balancer": {"margin": {"memory_overload": overload, "memory_idle": idle}}}
    with pytest.raises(BadInputError, match=r"balancer\.margin\.memory_overload"):
        parse_settings(document, "test")


def test_the_former_level_is_an_unknown_key():
    """One place for one thing: `balancer.level` is named in the error."""
    with pytest.raises(BadInputError, match=r"balancer\.level"):
        parse_settings({"balancer": {"level": 0.9}}, "test")

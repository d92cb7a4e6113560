import numpy as np

from models.traffic_class import CLASSES, classify
from tests.forecast.synthetic import DAY, history_of


def names(rates):
    return [CLASSES[number] for number in classify(history_of(rates))]


def on_off(size, share, steps=4 * DAY):
    """Return rates that are `size` in an evenly spread share of the steps."""
    return np.where((np.arange(steps) * share) % 1 < share, size, 0.0)


def test_each_class_by_what_makes_it():
    """The busy one is hot, the idle and the silent ones intermittent, the uneven one bursty, the even one steady."""
    even = np.full(4 * DAY, 2.0)
    uneven = np.where(np.arange(4 * DAY) % 8 == 0, 12.0, 0.5)  # mean 1.9, squared variation 3.9
    rates = np.stack([even, np.full(4 * DAY, 100.0), on_off(5.0, 0.25), uneven, np.zeros(4 * DAY)])
    assert names(rates) == ["steady", "hot", "intermittent", "bursty", "intermittent"]


def test_an_idle_order_param_is_intermittent_however_much_it_carries():
    """Idle in three of four steps it is intermittent, although it carries nearly all of the traffic."""
    assert names(np.stack([on_off(1000.0, 0.25), np.full(4 * DAY, 1.0)])) == ["intermittent", "steady"]


def test_half_of_the_steps_idle_is_not_yet_intermittent():
    """More than half must be idle."""
    assert names(on_off(3.0, 0.5)[None]) == ["hot"]


def test_hot_are_as_few_as_carry_four_fifths():
    """Of rates 50, 30, 15, 5 the first two carry 80 %."""
    rates = np.array([5.0, 50.0, 15.0, 30.0])[:, None] * np.ones((1, DAY))
    assert names(rates) == ["steady", "hot", "steady", "hot"]


def test_idle_steps_do_not_make_a_rate_bursty():
    """An order param that is either 7 or idle, less than half of the time, varies only by being idle."""
    rates = np.stack([np.full(4 * DAY, 500.0), on_off(7.0, 0.75)])
    assert names(rates) == ["hot", "steady"]


def test_only_the_last_fourteen_days_count():
    """An order param that was silent before them is judged by what it does since."""
    rates = np.zeros((1, 40 * DAY))
    rates[:, -14 * DAY :] = 4.0
    assert names(rates) == ["hot"]


def test_extreme_and_empty_histories_have_a_class():
    """Rates of 1e15, all silence, a single step and no step at all are classified without a warning."""
    assert names(np.full((2, DAY), 1e15, dtype=np.float32)) == ["hot", "hot"]
    assert names(np.zeros((2, DAY))) == ["intermittent", "intermittent"]
    assert names(np.ones((1, 1))) == ["hot"]
    assert names(np.ones((1, 0))) == ["intermittent"]

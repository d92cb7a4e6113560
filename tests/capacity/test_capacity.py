"""What capacity planning answers, against worlds whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from plb_ray.clock import monotonic_s
from plb_ray.control.capacity_basis import CapacityBasis, basis_of_rates
from plb_ray.domain.rates import RateHistory
from plb_ray.errors import BadInputError, NoForecastError
from service.capacity import capacity, with_zone_lost
from service.capacity_ask import Campaign, CapacityAsk, Growth, HorizonName, NewTenant, TypeAsked

HOUR_S, DAY_S, WEEK_S = 3600, 86_400, 604_800
MONDAY_S = 4 * DAY_S  # 1970-01-05


def history(rates, step_s=HOUR_S, start_s=MONDAY_S):
    names = tuple(f"op-{row}" for row in range(len(rates)))
    return RateHistory(names, start_s, step_s, np.asarray(rates, dtype=np.float32))


def office(count=12, weeks=3, size=10.0):
    """Rates of `count` order params that work on weekdays from 9 to 17 h, and rest otherwise."""
    hour = np.arange(weeks * 7 * 24)
    busy = (hour // 24 % 7 < 5) & (hour % 24 >= 9) & (hour % 24 < 17)
    return history(np.tile(np.where(busy, size, size / 10), (count, 1)))


def ask(**options):
    options.setdefault("types", (TypeAsked("box", {"messages_per_s": 50.0}),))
    return CapacityAsk(**{"headroom": 1.0, **options})


def answer(rates, **options):
    return capacity(basis_of_rates(rates), ask(**options), monotonic_s)


def test_a_week_knows_its_weekdays():
    """12 x 10 messages/s in office hours on shards of 50 need 3 then, and 1 at night and at the weekend; the fleet is 3."""
    found = answer(office(), horizon=HorizonName.WEEK)
    hour = np.arange(7 * 24)
    busy = (hour // 24 < 5) & (hour % 24 >= 9) & (hour % 24 < 17)
    assert found.hours.needed.tolist() == np.where(busy, 3, 1).tolist()
    assert (found.hours.proven <= found.hours.needed).all()
    assert (found.counts, found.shards_bound, found.price) == ((3,), 3, 3.0)
    assert found.fleet.binding_resource == "messages_per_s"


def test_the_fleet_holds_what_comes_with_the_accepted_risk():
    """Normal traffic drawn anew: each shard is above its limit in at most twice as many hours as the risk accepted."""
    rng = np.random.default_rng(3)
    mean = rng.uniform(2, 12, 60)

    def drawn(steps):
        return np.maximum(0, rng.normal(mean[:, None], 0.3 * mean[:, None], (60, steps)))

    alpha = 0.1
    found = answer(history(drawn(4 * 7 * 144), step_s=600), horizon=HorizonName.DAY, alpha=alpha)
    use = np.zeros((found.fleet.shards, 4000))
    np.add.at(use, found.fleet.shard_of, drawn(4000)[found.fleet.origin])
    above = (use > 50.0).mean(axis=1)
    assert above.max() <= 2 * alpha
    assert found.risk <= alpha * (1 + 1e-6)
    summed = found.demand.upper.sum(axis=0).max()
    assert found.shards < np.ceil(summed / 50.0)  # adding up quantiles would buy a shard more


def test_less_risk_and_less_headroom_never_need_fewer_shards():
    """More caution costs shards, or nothing; it never saves one."""
    rng = np.random.default_rng(5)
    rates = history(rng.gamma(2.0, 2.0, (40, 3 * 7 * 144)), step_s=600)
    bold = answer(rates, alpha=0.3)
    careful = answer(rates, alpha=0.02)
    tight = answer(rates, alpha=0.3, headroom=0.6)
    assert bold.shards < careful.shards
    assert bold.shards < tight.shards


@pytest.mark.parametrize(
    ("what", "shards"),
    [
        ({}, 3),
        ({"growths": (Growth(("op-*",), 100),)}, 6),  # two of 20 to a shard
        ({"growths": (Growth((), -50),)}, 2),
        ({"growths": (Growth(("op-1", "op-2"), 300),)}, 4),
        ({"campaigns": (Campaign(80.0),)}, 4),
        ({"tenants": (NewTenant("acme", ("op-*",)),)}, 5),
        ({"tenants": (NewTenant("acme", ("op-1",), 4.0),)}, 4),
        ({"zones": 3}, 5),
        ({"types": (TypeAsked("large", {"messages_per_s": 130.0}, price=2.0),)}, 1),
    ],
)
def test_what_if(what, shards):
    """Each what-if gives the number of shards that arithmetic gives for 120 messages/s on shards of 50."""
    assert answer(office(), horizon=HorizonName.WEEK, **what).shards == shards


def test_a_campaign_counts_only_while_it_lasts():
    """A campaign from 20 to 22 h adds shards to these hours and to no other."""
    plain = answer(office(), horizon=HorizonName.DAY)
    start_s = int(plain.hours.starts_s[20])
    found = answer(office(), horizon=HorizonName.DAY, campaigns=(Campaign(400.0, (), start_s, start_s + 2 * HOUR_S),))
    assert np.flatnonzero(found.hours.needed != plain.hours.needed).tolist() == [20, 21]


def test_the_cheaper_type_is_bought():
    """Of two types the one with the lower price per message is chosen, and the price bound is met."""
    types = (TypeAsked("small", {"messages_per_s": 50.0}, 1.0), TypeAsked("large", {"messages_per_s": 125.0}, 1.5))
    found = answer(office(), types=types, horizon=HorizonName.WEEK)
    assert (found.counts, found.price, found.price_bound) == ((0, 1), 1.5, 1.5)


@pytest.mark.parametrize(("needed", "zones"), [(1, 2), (3, 2), (3, 3), (7, 3), (10, 4)])
def test_any_zone_may_be_lost(needed, zones):
    """Spread evenly, what is outside the largest zone is enough; with one shard fewer it is not."""
    total = with_zone_lost(needed, zones)
    assert total - -(-total // zones) >= needed
    assert total - 1 - -(-(total - 1) // zones) < needed


def test_growth_from_week_to_week_is_followed():
    """Traffic that doubles every week is foreseen at the level of the last week at least."""
    base = office(weeks=3).messages_per_s
    week = np.repeat([1.0, 2.0, 4.0], 7 * 24)
    found = answer(history(base * week), horizon=HorizonName.WEEK)
    assert found.demand.mean.max() == pytest.approx(40.0, rel=0.01)


def test_a_short_history_is_told_and_an_empty_one_refused():
    """Less than two days: the last hour is taken, and the notes say so; less than an hour is no history."""
    found = answer(history(np.full((2, 30), 20.0)))
    assert any("shorter than two days" in note for note in found.notes)
    assert found.shards == 1
    with pytest.raises(NoForecastError):
        answer(history(np.full((2, 3), 20.0), step_s=600))


def running(owner, shards=2, rate=20.0):
    """A queue of shards of 50 messages/s whose order params send `rate` each."""
    basis = basis_of_rates(history(np.full((len(owner), 3 * 7 * 24), rate)))
    names = tuple(f"shard-{each}" for each in range(shards))
    return replace(basis, shards=names, capacity=np.full((shards, 1), 50.0), owner=np.array(owner, dtype=np.int64))


def test_the_way_there_starts_a_shard_and_moves_the_fewest():
    """Five order params of 20 on two shards of 50 are one too many: a shard is started, and one moves onto it."""
    found = capacity(running([0, 0, 0, 1, 1]), ask(types=()), monotonic_s)
    assert found.counts == (3,)
    assert found.realisation.start == {"standard": 1}
    assert [(move.source, move.destination) for move in found.realisation.moves] == [("shard-0", "standard+1")]
    assert found.realisation.words == "the fewest moves (proven)"


def test_the_way_there_drains_what_is_not_needed():
    """Two order params of 20 on three shards of 50 need one: two shards are drained, and one order param moves."""
    found = capacity(running([0, 1], shards=3), ask(types=()), monotonic_s)
    assert found.counts == (1,)
    assert len(found.realisation.drain) == 2
    assert len(found.realisation.moves) == 1


def test_a_fleet_that_may_not_be_had_is_no_answer():
    """A type of which too few may be had: no fleet, and the reason in words."""
    found = answer(office(), horizon=HorizonName.WEEK, types=(TypeAsked("box", {"messages_per_s": 50.0}, most=2),))
    assert found.shards == 0
    assert found.fleet.reason


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"growths": (Growth(("nobody",), 10),)}, "nobody"),
        ({"campaigns": (Campaign(1.0, (), 0.0, 10.0),)}, "outside the horizon"),
        ({"tenants": (NewTenant("x", ("nobody",)),)}, "nobody"),
        ({"types": (TypeAsked("t", {"cpu_cores": 1.0}),)}, "cpu_cores"),
    ],
)
def test_a_question_that_means_nothing_is_refused(options, named):
    """What matches nothing is named, instead of being ignored."""
    with pytest.raises(BadInputError, match=named):
        answer(office(), **options)


def test_fine_steps_keep_their_peaks():
    """A minute of 100 messages/s in each block of ten counts in the quantile, though the block's mean is 10."""
    minutes = np.zeros((1, 7 * 24 * 60))
    minutes[:, ::10] = 100.0
    basis = basis_of_rates(history(minutes, step_s=60))
    assert isinstance(basis, CapacityBasis)
    found = capacity(basis, ask(), monotonic_s)
    assert found.demand.mean.max() == pytest.approx(10.0)
    assert found.demand.upper.max() == pytest.approx(100.0)

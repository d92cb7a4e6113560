import pytest

from plb_ray.cluster.grouping import actor_of, assign_groups, parent_of

LOADS = {f"op-{i}": 1000.0 / (i + 1) for i in range(40)}


def sizes(assigned):
    groups = sorted(set(assigned.values()))
    return {group: sum(1 for g in assigned.values() if g == group) for group in groups}


def test_groups_are_balanced_by_load_and_number():
    """No shared group has more than its even share of members, and loads differ by no more than the hottest order param."""
    assigned = assign_groups(LOADS, shared=3, dedicated=0, previous={})
    assert assigned.keys() == LOADS.keys()
    assert max(sizes(assigned).values()) <= 14  # 40 in 3, rounded up
    load = [sum(LOADS[name] for name, g in assigned.items() if g == group) for group in sizes(assigned)]
    assert max(load) - min(load) <= max(LOADS.values())


def test_the_hottest_get_their_own():
    """With two dedicated groups, the two hottest order params are alone in theirs."""
    assigned = assign_groups(LOADS, shared=2, dedicated=2, previous={})
    assert (assigned["op-0"], assigned["op-1"]) == ("hot-0", "hot-1")
    assert sizes(assigned)["hot-0"] == sizes(assigned)["hot-1"] == 1


def test_somebody_is_left_for_the_shared_groups():
    """However many dedicated groups are asked for, one order param trains a shared network for newcomers."""
    assigned = assign_groups({"a": 3.0, "b": 2.0}, shared=1, dedicated=9, previous={})
    assert assigned == {"a": "hot-0", "b": "group-0"}


def test_an_order_param_stays_in_its_group():
    """New loads and new order params move nobody who has a group; the newcomer joins a shared one."""
    first = assign_groups(LOADS, shared=2, dedicated=1, previous={})
    turned = {name: 1.0 / load for name, load in LOADS.items()} | {"new": 1e9}
    second = assign_groups(turned, shared=2, dedicated=1, previous=first)
    assert {name: second[name] for name in first} == first
    assert second["new"].startswith("group-")


@pytest.mark.parametrize("actors", [1, 2, 3])
def test_the_parent_of_a_dedicated_group_is_trained_by_the_same_actor(actors):
    """So it is trained first; shared groups have no parent, and nobody has one where there are none."""
    shared = [f"group-{i}" for i in range(actors)]
    for group in ("hot-0", "hot-1", "hot-5"):
        parent = parent_of(group, [*shared, group])
        assert actor_of(parent, actors) == actor_of(group, actors)
        assert parent_of(parent, [*shared, group]) == parent_of(group, [group]) == ""


@pytest.mark.parametrize("actors", [1, 2, 3])
def test_every_group_has_an_actor_and_dedicated_ones_begin_at_the_far_end(actors):
    """Shared groups use all actors, and the first dedicated group is on the last one."""
    assert {actor_of(f"group-{i}", actors) for i in range(actors)} == set(range(actors))
    assert actor_of("hot-0", actors) == actors - 1

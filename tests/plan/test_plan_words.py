"""What a plan says of itself: why each move, what stays unresolved and why, why the others are kept, what binds shards."""

from dataclasses import replace

import numpy as np
import pytest
from plan_builders import problem

from optimizer.explain import ReasonKept, Story, moves, unresolved, what_binds, why_kept
from optimizer.modes import choose
from optimizer.packing import pack
from optimizer.sequencing import Step, waves
from plb_ray.clock import monotonic_s
from plb_ray.domain.plan import PlanMode, Termination


def story_of(*args, **more):
    stated = problem(*args, **more)
    choice = choose(stated, monotonic_s)
    return Story(stated, choice.packing, choice.solution, choice.drained)


def steps_of(story):
    anew = story.problem.mode is PlanMode.ALLOCATE
    return waves(pack(story.problem) if anew else story.packing, story.shard_of)


def reasons_of(story):
    return {move.order_param: move.reason for move in moves(story, steps_of(story))}


def with_allocation(story, shard_of):
    """Return the story of another allocation, which is not claimed to be good."""
    return replace(story, solution=replace(story.solution, shard_of=np.array(shard_of)))


# ---- why a move


def test_a_move_says_what_would_overload_when_why_it_goes_and_what_becomes_of_the_destination():
    """The reason names load, step, source, utilisation, resource, limit, why this one, and the destination's worst."""
    story = story_of([[0.3, 0.5], [0.4, 0.7], [0.1, 0.1]], [0, 0, 1], headroom=0.8)
    (move,) = moves(story, steps_of(story))
    assert (move.source, move.destination) == ("shard-0", "shard-1")
    stays = {"op-0": "60 %", "op-1": "80 %"}[move.order_param]
    assert move.reason == (
        "p90 at 22:30 would put shard shard-0 at 120 % of CPU (limit 80 %): it is the cheapest that brings it under;"
        f" shard-1 stays at {stays}"
    )


def test_one_of_several_says_that_it_is_part_of_the_cheapest_set():
    """If two must leave, each says that it is part of the cheapest set, which is proven for that shard."""
    story = story_of([0.4, 0.4, 0.4, 0.4], [0, 0, 0, 0], shards=3)
    reasons = list(reasons_of(story).values())
    assert len(reasons) == 2
    assert all(": it is part of the cheapest set that brings it under (2 order params); " in reason for reason in reasons)


def test_a_set_that_is_not_the_cheapest_is_not_called_so():
    """Where a dearer order param leaves than had to, the reason says what it frees and costs, and not "cheapest"."""
    story = story_of([0.9, 0.3, 0.0], [0, 0, 1], cost=[5, 1, 1])
    assert "it is the cheapest" in reasons_of(story)["op-1"]
    dearer = with_allocation(story, [1, 0, 1])
    assert ": it frees 90 % of the CPU at a cost of 5; " in reasons_of(dearer)["op-0"]


def test_the_destination_names_its_resource_if_it_is_another():
    """The destination's highest utilisation is of memory where the reason spoke of CPU, and says so."""
    load = [[[0.7, 0.1]], [[0.5, 0.1]], [[0.0, 0.8]]]
    story = story_of(load, [0, 0, 1])
    (reason,) = reasons_of(story).values()
    assert reason.endswith("; shard-1 stays at 90 % of memory")


def test_an_overload_that_rounds_to_its_limit_is_shown_with_more_digits():
    """80.04 % at a limit of 80 % is not written as 80 %."""
    story = story_of([0.4002, 0.4002, 0.1], [0, 0, 1], headroom=0.8)
    assert all("at 80.04 % of CPU (limit 80.00 %)" in reason for reason in reasons_of(story).values())


def test_a_swap_partner_says_for_whom_it_makes_room():
    """An order param that leaves a shard that is fine is moved for another's sake, and says for whose."""
    story = story_of([0.8, 0.3, 0.6, 0.15], [0, 0, 1, 1], shards=2, pinned=[0, 2], headroom=0.95)
    reasons = reasons_of(story)
    assert set(reasons) == {"op-1", "op-3"}
    assert reasons["op-3"].startswith(
        "makes room on shard-1 for order param op-1, which leaves shard-0; shard-0 stays at 95 %"
    )


def test_what_breaks_a_rule_says_which():
    """First placement, draining, zone, forbidden shard and spread group are each named."""
    story = story_of(
        [0.1] * 6,
        [-1, 0, 1, 2, 3, 3],
        shards=5,
        draining=[0],
        zones=[0, 0, 1, 1, 1],
        allowed_zones={2: {1}},
        forbidden=[(3, 2)],
        group=[-1, -1, -1, -1, 0, 0],
    )
    reasons = reasons_of(story)
    assert reasons["op-0"].startswith("first placement: it has no shard yet; ")
    assert reasons["op-1"].startswith("leaves shard shard-0, which is draining; ")
    assert reasons["op-2"].startswith("leaves shard shard-1, which is in a zone that is not allowed to it; ")
    assert reasons["op-3"].startswith("leaves shard shard-2, which is forbidden to it; ")
    (one,) = set(reasons) & {"op-4", "op-5"}
    other = {"op-4": "op-5", "op-5": "op-4"}[one]
    assert reasons[one].startswith(f"shares its shard shard-3 with {other} of its spread group; ")


def test_a_first_placement_has_no_source():
    """An order param without a shard comes from nowhere."""
    story = story_of([0.1], [-1])
    assert moves(story, steps_of(story))[0].source == ""


@pytest.mark.parametrize(("mode", "focus"), [(PlanMode.DRAIN, (1,)), (PlanMode.CONSOLIDATE, ())])
def test_emptying_says_that_the_shard_is_not_needed(mode, focus):
    """What leaves a shard that is drained or consolidated away says that the shard is emptied."""
    story = story_of([0.4, 0.1], [0, 1], cost=[5, 1], mode=mode, focus=focus)
    assert reasons_of(story)["op-1"].startswith("empties shard shard-1, which is no longer needed; shard-0 stays at 50 %")


def test_balancing_says_from_where_to_where_the_shard_is_lowered():
    """A move of balance names the utilisation of its shard before and after, and that it was the highest."""
    story = story_of([0.3, 0.3, 0.2, 0.1], [0, 0, 0, 1], mode=PlanMode.BALANCE, band=0.01)
    after = 100 * story.after.max(axis=1)
    reasons = reasons_of(story)
    assert reasons
    for reason in reasons.values():
        assert reason.startswith(
            f"lowers shard shard-0 from 80 % to {after[0]:.0f} % of CPU, the highest utilisation;"
            f" shard-1 stays at {after[1]:.0f} %"
        )


def test_an_allocation_made_anew_names_the_real_source():
    """ALLOCATE forgets the mapping, but a move still says where the order param is now."""
    story = story_of([0.4, 0.4], [0, 0], mode=PlanMode.ALLOCATE)
    (move,) = moves(story, steps_of(story))
    assert move.source == "shard-0"
    assert move.reason.startswith("leaves shard shard-0: all order params that are not pinned are placed anew; ")


def test_what_an_allocation_made_anew_cannot_place_stays_where_it_is():
    """An order param for which ALLOCATE finds no place is no move to nowhere: it stays, and its broken rule is told."""
    story = story_of([0.1, 0.1], [0, 1], mode=PlanMode.ALLOCATE, forbidden=[(0, 0), (0, 1)])
    assert "op-0" not in reasons_of(story)
    assert why_kept(story)[0] == ReasonKept.NO_ALLOWED_SHARD
    assert unresolved(story)[0].startswith("order param op-0 stays on shard shard-0, which is forbidden to it: ")


def test_segments_are_numbered_from_those_that_stay():
    """The highest number says how many segments there are, as the first ones are those that stay; the reason says why."""
    story = story_of([1.5, 0.1], [0, 0], shards=3, segments=3)
    made = {move.order_param: move for move in moves(story, steps_of(story))}
    assert made["op-0"].segment == 2
    assert ": it is too large for one shard and is split over 2; " in made["op-0"].reason
    whole = with_allocation(story, [0, 1, 1])
    assert [(move.order_param, move.segment) for move in moves(whole, (Step(2, 1), Step(1, 1)))] == [
        ("op-1", 0),
        ("op-0", 2),
    ]
    first = with_allocation(story, [1, 0, 0])
    assert [move.segment for move in moves(first, (Step(0, 1),))] == [2]


def test_moves_keep_the_order_waves_and_ways_of_their_steps():
    """Each step becomes one move with its wave and via; a forced one and one by a third shard say so."""
    story = with_allocation(story_of([0.9, 0.9], [0, 1], shards=3), [1, 0])
    first, second = moves(story, (Step(1, 2, via=2, via_wave=1), Step(0, 3, forced=True)))
    assert (first.order_param, first.wave, first.via, first.via_wave) == ("op-1", 2, "shard-2", 1)
    assert first.reason.endswith("; it goes by shard-2, as its destination has no room until others have left")
    assert (second.order_param, second.wave, second.via, second.via_wave) == ("op-0", 3, "", 0)
    assert second.reason.endswith("; it passes over the limit on its way: no wave was found with room for both copies")


def test_a_step_without_a_clock_reads_as_a_sentence():
    """A step called "now" is not "at now", and one called by a number is a step."""
    story = story_of([0.8, 0.8], [0, 0])
    now = replace(story, problem=replace(story.problem, words=replace(story.problem.words, steps=("now",), load="load")))
    assert next(iter(reasons_of(now).values())).startswith("load now would put shard shard-0 at 160 %")
    number = replace(story, problem=replace(story.problem, words=replace(story.problem.words, steps=("7",), load="load")))
    assert next(iter(reasons_of(number).values())).startswith("load at step 7 would put shard shard-0 at 160 %")


# ---- what stays unresolved


def test_a_plan_that_resolves_everything_says_nothing():
    """No overload, no broken rule, no forced step: no sentence."""
    story = story_of([0.8, 0.8], [0, 0])
    assert unresolved(story, steps_of(story)) == ()


@pytest.mark.parametrize(
    ("why", "args", "more"),
    [
        (
            (
                "shard shard-0 stays at 130 % of CPU (limit 100 %) at 22:20: order param op-0 alone needs 130 % of the CPU"
                " of the largest shard; it needs 2 shards or a larger one"
            ),
            ([1.3, 0.1], [0, 1]),
            {},
        ),
        (
            (
                "shard shard-0 stays at 130 % of CPU (limit 100 %) at 22:20: order param op-0 alone needs 130 % of the CPU"
                " of the largest shard that it may be on; it needs a larger one"
            ),
            ([1.3, 0.1], [0, 1]),
            {"capacity": [1.0, 2.0], "forbidden": [(0, 1)]},
        ),
        ("none of its order params with load may move now", ([0.6, 0.6, 0.0], [0, 0, 0]), {"pinned": [0, 1]}),
        ("there is no other shard that takes order params", ([0.6, 0.6], [0, 0]), {"closed": [1]}),
        ("there is no other shard that takes order params", ([0.6, 0.6], [0, 0]), {"shards": 1, "pinned": [0]}),
        ("this plan may have only 1 moves and uses them all", ([0.6] * 6, [0] * 6), {"shards": 6, "moves_max": 1}),
        ("running migrations alone hold 120 % of its CPU", ([0.1, 0.1], [0, 1]), {"in_flight": [1.2, 0.0]}),
        (
            "all shards together lack 20 % of CPU; about 1 more shard needed (0.4 cpu_cores missing)",
            ([0.6, 0.6, 0.6, 0.6], [0, 0, 1, 1]),
            {},
        ),
        (
            "no allocation of the order params that may move leaves less overload (proven)",
            ([0.6, 0.6, 0.6], [0, 0, 1]),
            {},
        ),
    ],
)
def test_a_shard_that_stays_over_its_limit_says_why(why, args, more):
    """Each cause of an overload that stays is told from the others."""
    (sentence,) = [sentence for sentence in unresolved(story_of(*args, **more)) if why in sentence][:1]
    assert sentence.startswith("shard shard-")
    assert sentence.endswith(why) or "may move now" in sentence


def test_missing_volume_is_that_of_the_step_that_lacks_it():
    """Loads of different steps are not added up: only what lacks at one step is missing."""
    story = story_of([[0.9, 0.2], [0.2, 0.9], [0.0, 0.9], [0.0, 0.9]], [0, 0, 1, 1])
    sentences = unresolved(story)
    assert sentences
    assert all("lack 45 % of CPU; about 1 more shard needed (0.9 cpu_cores missing)" in sentence for sentence in sentences)
    assert all(" at 22:30: " in sentence for sentence in sentences)


def test_shards_that_take_nothing_do_not_count_as_volume():
    """Room on a draining shard is no room."""
    story = story_of([0.7, 0.7, 0.7], [0, 1, 2], shards=3, draining=[2])
    assert any("the shards that take order params lack" in sentence for sentence in unresolved(story))


def test_an_overload_that_is_not_proven_says_so():
    """Without a proof the sentence names what ended the search and claims nothing."""
    story = story_of([0.6, 0.6, 0.6], [0, 0, 1])
    open_story = replace(story, solution=replace(story.solution, least_overload=False, termination=Termination.DEADLINE))
    (sentence,) = unresolved(open_story)
    assert sentence.endswith("no better plan was found in 2 s; it is not proven that there is none")


@pytest.mark.parametrize(
    ("sentence", "current", "more"),
    [
        (
            (
                "order param op-0 stays on shard shard-0, which is draining:"
                " it may not move now (pinned, in migration or cooling down)"
            ),
            [0, 1],
            {"draining": [0], "pinned": [0]},
        ),
        (
            (
                "order param op-0 stays on shard shard-0, which is in a zone that is not allowed to it:"
                " no other shard that takes order params is allowed to it"
            ),
            [0, 1],
            {"zones": [0, 0], "allowed_zones": {0: {7}}},
        ),
        (
            (
                "order param op-0 stays on shard shard-0, which is forbidden to it:"
                " no other shard that takes order params is allowed to it"
            ),
            [0, 0],
            {"forbidden": [(0, 0)], "closed": [1]},
        ),
        (
            "order param op-0 stays without a shard: no other shard that takes order params is allowed to it",
            [-1, 0],
            {"forbidden": [(0, 0), (0, 1)]},
        ),
        (
            (
                "order param op-1 stays on shard shard-0 beside order param op-0 of its spread group:"
                " it may not move now (pinned, in migration or cooling down)"
            ),
            [0, 0],
            {"group": [0, 0], "pinned": [0, 1]},
        ),
        (
            (
                "order param op-0 stays on shard shard-0, which is to be emptied:"
                " this plan may have only 0 moves and uses them all"
            ),
            [0, 1],
            {"mode": PlanMode.DRAIN, "focus": (0,), "moves_max": 0},
        ),
    ],
)
def test_a_broken_rule_that_stays_names_order_param_rule_and_why(sentence, current, more):
    """Every broken rule that stays is told, with its reason."""
    assert unresolved(story_of([0.1, 0.1], current, **more)) == (sentence,)


def test_members_that_find_every_shard_taken_say_so():
    """Three members of a group on two shards: one must stay beside another, because each shard has one."""
    (sentence,) = unresolved(story_of([0.1] * 3, [0, 0, 0], group=[0, 0, 0]))
    assert sentence.endswith("every other shard that is allowed to it has a member of its spread group")


def test_as_many_broken_rules_are_told_as_the_score_counts():
    """Sentences and the count of broken rules agree."""
    story = story_of(
        [0.1] * 7, [0, 0, 0, 1, 1, -1, 2], shards=3, group=[0, 0, 0, 1, 1, -1, -1], pinned=range(7), draining=[2]
    )
    story = with_allocation(story, [0, 0, 0, 1, 1, 3, 2])
    assert len(unresolved(story)) == story.packing.broken(story.shard_of)


def test_a_forced_step_is_told():
    """A move that passes over a limit on its way is named."""
    story = with_allocation(story_of([0.9, 0.9], [0, 1]), [1, 0])
    (sentence,) = unresolved(story, (Step(0, 1, forced=True), Step(1, 2)))
    assert sentence.startswith("order param op-0 goes over the limit on its way from shard-0 to shard-1")


def test_what_is_cut_short_is_still_named():
    """At most 60 sentences of a kind are told in full; one more says how many there are besides, and names them all."""
    sentences = unresolved(story_of([0.0] * 300, [0] * 300, draining=[0], pinned=range(300)))
    assert len(sentences) == 61
    assert sentences[-1].startswith("and 240 more order params stay where a rule forbids it: op-60, op-61, ")
    assert sentences[-1].endswith(", op-299")


def test_moves_over_a_limit_that_are_cut_short_still_say_so():
    """The sentence that names the rest of the moves over a limit on their way says what it is about."""
    story = with_allocation(story_of([0.01] * 70, [0] * 70), [1] * 70)
    sentences = unresolved(story, tuple(Step(row, 1, forced=True) for row in range(70)))
    assert len(sentences) == 61
    assert sentences[-1].startswith("and 10 more order params, each over the limit on its way: op-60, ")


# ---- why an order param is kept, and what binds


@pytest.mark.parametrize(
    ("codes", "args", "more"),
    [
        (["not_needed", "moved", "fits"], ([0.9, 0.3, 0.1], [0, 0, 1]), {"cost": [5, 1, 1]}),
        (["pinned", "moved", "fits"], ([0.9, 0.3, 0.1], [0, 0, 1]), {"pinned": [0, 2]}),
        (["no_room", "no_room", "fits"], ([0.6, 0.6, 0.6], [0, 0, 1]), {}),
        (["no_allowed_shard", "no_allowed_shard"], ([0.6, 0.6], [0, 0]), {"closed": [1]}),
        (["moves_used_up"] * 3, ([0.6] * 3, [0] * 3), {"moves_max": 0, "shards": 3}),
        (["no_allowed_shard", "fits"], ([0.1, 0.1], [-1, 0]), {"forbidden": [(0, 0), (0, 1)]}),
        (["moved", "fits"], ([0.1, 0.1], [-1, 0]), {}),
    ],
)
def test_every_order_param_has_a_reason_code(codes, args, more):
    """The code of an order param says that it moved, or the first reason that holds why it did not."""
    assert why_kept(story_of(*args, **more)).tolist() == codes


def test_time_that_ran_out_is_told_from_no_room():
    """If another shard has room for what stays on a shard over its limit, the budget was the reason."""
    story = with_allocation(story_of([0.6, 0.6], [0, 0], shards=2), [0, 0])
    story = replace(story, solution=replace(story.solution, least_overload=False, termination=Termination.DEADLINE))
    assert why_kept(story).tolist() == [ReasonKept.TIME_UP] * 2


def test_a_split_order_param_counts_as_moved_if_a_segment_is():
    """Codes are per order param of the problem, not per segment."""
    assert why_kept(story_of([1.5, 0.1], [0, 1], shards=3, segments=3)).tolist() == ["moved", "fits"]


def test_what_binds_a_shard_is_its_highest_utilisation_before_and_after():
    """Resource and step are those of the highest utilisation after the plan."""
    load = [[[0.2, 0.1], [0.8, 0.1]], [[0.1, 0.1], [0.4, 0.1]], [[0.1, 0.2], [0.1, 0.6]]]
    first, second = what_binds(story_of(load, [0, 0, 1], pinned=[0]))
    assert (first.shard, first.resource, first.step) == ("shard-0", "CPU", "22:30")
    assert (first.before, first.after) == pytest.approx((1.2, 0.8))
    assert (second.shard, second.resource, second.step) == ("shard-1", "memory", "22:30")
    assert (second.before, second.after) == pytest.approx((0.6, 0.7))

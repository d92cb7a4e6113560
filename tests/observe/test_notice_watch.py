"""What is told, and how often: states when they begin, events once, nothing again too soon."""

from dataclasses import replace

import pytest

from plb_ray.control.notice_watch import Picture, Watch, look
from plb_ray.domain.champions import Demotion
from plb_ray.domain.migration import MigrationStep
from plb_ray.domain.notices import NoticeKind
from tests.service.fake_balancer import NOW_S, default_decision, default_status, record

INTERVAL_S = 900.0
CALM = replace(default_status(), shards=default_status().shards[:1])
CONGESTED = replace(default_status(), shards=default_status().shards[2:3])


def picture(at_s=0.0, status=CALM, decision=None, migrations=(), demotions=()):
    return Picture(NOW_S + at_s, status, decision, tuple(migrations), tuple(demotions))


def told(pictures, interval_s=INTERVAL_S):
    """Return, for each picture in turn, the (kind, subject) of what is told."""
    watch, answers = Watch(since_s=NOW_S), []
    for each in pictures:
        watch, notices = look(watch, each, interval_s)
        answers.append([(notice.kind.value, notice.subject) for notice in notices])
    return answers


def silent(shard_id="shard-1"):
    return replace(CALM, shards=(replace(CALM.shards[0], shard_id=shard_id, error="connection refused"),))


def failed(number, error="the destination does not answer", ago_s=-1.0):
    return record(f"m{number}", f"order-{number}", MigrationStep.ABORTED, ago_s, error=error)


def test_nothing_is_told_when_all_is_well():
    """A calm picture gives no notice."""
    assert told([picture(), picture(5)]) == [[], []]


def test_a_state_is_told_once_while_it_lasts():
    """A shard that stays silent for hours is one notice."""
    assert told([picture(hour * 3600, silent()) for hour in range(4)]) == [[("shard_silent", "shard-1")], [], [], []]


def test_a_state_that_ended_is_told_anew_but_not_too_soon():
    """One that flaps is told again after the interval, and then even if it holds already for a while."""
    pictures = [picture(0, silent()), picture(10), picture(20, silent()), picture(899, silent()), picture(900, silent())]
    assert told(pictures) == [[("shard_silent", "shard-1")], [], [], [], [("shard_silent", "shard-1")]]


def test_shards_are_told_apart():
    """Another shard's silence is another notice."""
    assert told([picture(0, silent()), picture(5, silent("shard-2"))])[1] == [("shard_silent", "shard-2")]


def test_congestion_says_when_how_much_and_what_is_done():
    """The text has the peak, the minutes, and how many moves are planned and sent."""
    _, (notice,) = look(Watch(NOW_S), picture(0, CONGESTED, default_decision()), INTERVAL_S)
    assert notice.kind is NoticeKind.CONGESTION_FORESEEN
    assert "shard-3 is foreseen at 1" in notice.text
    assert "1 of 2 planned moves off it are sent" in notice.text
    assert notice.facts["in_s"] >= 0
    _, (without,) = look(Watch(NOW_S), picture(0, CONGESTED), INTERVAL_S)
    assert "no move off it is planned" in without.text


def test_plans_that_wait():
    """Plans that await approval are one notice, whatever their number, until none waits."""
    one, two = replace(CALM, plans_awaiting=1), replace(CALM, plans_awaiting=2)
    pictures = [picture(0, one), picture(60, two), picture(2000), picture(3000, two)]
    assert told(pictures) == [[("plan_waiting", "plan")], [], [], [("plan_waiting", "plan")]]
    _, (notice,) = look(Watch(NOW_S), picture(0, two), INTERVAL_S)
    assert notice.text.startswith("2 plans wait for approval")


def test_failed_migrations_are_told_once_each():
    """A migration stays in the list of recent ones for long; its failure is one notice."""
    both = [failed(1), failed(2)]
    assert told([picture(0, migrations=both[:1]), picture(5, migrations=both), picture(5000, migrations=both)]) == [
        [("migration_failed", "order-1")],
        [("migration_failed", "order-2")],
        [],
    ]


@pytest.mark.parametrize(
    "migration",
    [
        failed(1, error="cancelled on request"),
        failed(1, ago_s=500.0),
        record("m1", "order-1", MigrationStep.DONE, -1.0),
        record("m1", "order-1", MigrationStep.PAUSED, -1.0),
    ],
    ids=["a person cancelled it", "before the first look", "done", "running"],
)
def test_what_is_no_failure(migration):
    """People who cancel know it; what failed before the watch began was told by its predecessor."""
    assert told([picture(10, migrations=[migration])]) == [[]]


def test_many_failures_are_one_notice():
    """When everything fails at once people get one text, with the number."""
    assert told([picture(5, migrations=[failed(number) for number in range(40)])]) == [[("migration_failed", "many")]]


def demotion(group, at_s=1.0, horizon="short", reason="worse", who="feedback"):
    return Demotion(group, horizon, reason, who, NOW_S + at_s)


def test_a_demotion_is_told_once():
    """It stays as it is until somebody is promoted; another one of the same group, later, is told anew."""
    first, again = demotion("group-0"), demotion("group-0", 5000.0)
    pictures = [
        picture(5, demotions=[first]),
        picture(5000, demotions=[first]),
        picture(5100),
        picture(5200, demotions=[again]),
    ]
    assert told(pictures) == [[("model_demoted", "group-0 short")], [], [], [("model_demoted", "group-0 short")]]
    assert told([picture(10, demotions=[demotion("group-0", -5.0)])]) == [[]]  # its predecessor told that one


def test_demotions_of_a_whole_horizon_are_one_notice():
    """What the verdict does to all groups is one text; what a person did to another one is told apart."""
    many = [demotion(f"group-{row}") for row in range(7)]
    by_hand = demotion("hot-0", horizon="medium", reason="the tenant left", who="ada")
    _, notices = look(Watch(NOW_S), picture(5, demotions=[*many, by_hand]), INTERVAL_S)
    assert [(notice.subject, notice.facts["groups"]) for notice in notices] == [("short", 7), ("hot-0 medium", 1)]
    assert notices[0].text == (
        "the short champion of group-0, group-1, group-2, group-3, group-4 and 2 more is demoted by feedback, "
        "the baseline serves: worse"
    )
    assert notices[1].text == "the medium champion of hot-0 is demoted by ada, the baseline serves: the tenant left"


def test_the_memory_does_not_grow():
    """Failures that left the list, states that ended and old times are forgotten."""
    watch = Watch(since_s=NOW_S)
    for hour in range(50):
        step = picture(hour * 3600, silent(f"shard-{hour}"), migrations=[failed(hour, ago_s=-hour * 3600.0 - 1)])
        watch, _ = look(watch, step, INTERVAL_S)
    assert (len(watch.holding), len(watch.told_s), len(watch.failed)) == (1, 2, 1)

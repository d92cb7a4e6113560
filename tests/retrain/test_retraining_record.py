"""What a retraining is: its id, its way from asked to ended, and how it is shown when its job is silent."""

import json
from dataclasses import asdict, replace

import pytest
from retrainings_here import DAY_S, GROUPS, NOW_S, a_place

from plb_ray.cluster.retraining import (
    SUBMITTING_S,
    JobReport,
    Part,
    PartState,
    Retraining,
    RetrainRequest,
    State,
    as_seen,
    planned,
)
from plb_ray.cluster.since import Since, span_or_moment
from plb_ray.errors import BadInputError

KNOWN = set(GROUPS.values())


def a_record(tmp_path, now_s=NOW_S, **asked) -> Retraining:
    return planned(RetrainRequest(**asked), KNOWN, a_place(tmp_path), now_s)


def running(tmp_path, **asked) -> Retraining:
    return a_record(tmp_path, **asked).started(NOW_S, (0, 600))


def part_done(record, number, state=PartState.DONE):
    return record.with_part(replace(record.parts[number], state=state, fraction=1.0))


def test_all_groups_and_horizons_unless_some_are_named(tmp_path):
    """Nothing named is everything; what is named is taken in the order of what there is, once."""
    assert [part.name for part in a_record(tmp_path).parts] == [
        f"{group}/{horizon}" for group in ("group-0", "group-1", "hot-0") for horizon in ("short", "medium")
    ]
    some = a_record(tmp_path, groups=("hot-0", "group-1", "hot-0"), horizons=("medium",))
    assert [part.name for part in some.parts] == ["group-1/medium", "hot-0/medium"]


def test_the_same_request_is_the_same_retraining(tmp_path):
    """Order, spelling of the time, and the moment within the period do not matter; a later period does."""
    first = a_record(tmp_path, groups=("group-0", "group-1"), since="14d")
    same = a_record(tmp_path, NOW_S + 3 * 3600, groups=("group-1", "group-0"), since="2w")
    assert same.retraining_id == first.retraining_id
    assert a_record(tmp_path, NOW_S + DAY_S, groups=("group-0", "group-1"), since="14d").retraining_id != first.retraining_id
    every = a_record(tmp_path)
    assert a_record(tmp_path, groups=tuple(KNOWN), horizons=("medium", "short")).retraining_id == every.retraining_id


@pytest.mark.parametrize(
    "other", [{"groups": ("group-0",)}, {"horizons": ("short",)}, {"since": "13d"}, {"since": "2026-01-15"}]
)
def test_another_request_is_another_retraining(tmp_path, other):
    """Groups, horizons and span each make a difference."""
    assert a_record(tmp_path, **other).retraining_id != a_record(tmp_path).retraining_id


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"groups": ("group-0", "group-9")}, "unknown group 'group-9'; known are group-0, group-1, hot-0"),
        ({"horizons": ("long",)}, "unknown horizon 'long'; known are short, medium"),
        ({"since": "yesterday"}, "since 'yesterday' is neither a span such as 14d"),
        ({"since": "0d"}, "since '0d' is no history at all"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, asked, sentence):
    """The refusal names what is wrong and what there is."""
    with pytest.raises(BadInputError, match=sentence):
        a_record(tmp_path, **asked)


def test_many_groups_are_not_all_listed(tmp_path):
    """The refusal stays a sentence when there are hundreds of groups."""
    known = [f"group-{number}" for number in range(300)]
    with pytest.raises(BadInputError) as refusal:
        planned(RetrainRequest(groups=("x",)), known, a_place(tmp_path), NOW_S)
    assert str(refusal.value).endswith(", ...")
    assert len(str(refusal.value)) < 400


def test_without_groups_nothing_can_be_trained(tmp_path):
    """Before the balancer has grouped anything the refusal says when it will."""
    with pytest.raises(BadInputError, match="min_history_steps"):
        planned(RetrainRequest(), (), a_place(tmp_path), NOW_S)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("14d", Since(span_s=14 * DAY_S)),
        ("1.5h", Since(span_s=5400)),
        (" 2w ", Since(span_s=14 * DAY_S)),
        ("1970-01-02", Since(at_s=DAY_S)),
        ("1970-01-02T01:00+01:00", Since(at_s=DAY_S)),
        ("1970-01-02T00:00Z", Since(at_s=DAY_S)),
    ],
)
def test_spans_and_moments(text, since):
    """A span counts back from the history's end, a moment without an offset is UTC."""
    assert span_or_moment(text) == since
    assert since.start_s(100 * DAY_S) == (DAY_S if since.at_s else 100 * DAY_S - since.span_s)


def test_fraction_and_eta_count_only_this_run(tmp_path):
    """What an earlier run has done is done, but says nothing of the present run's speed."""
    first = part_done(running(tmp_path, groups=("group-0", "group-1")), 0)
    assert (first.fraction, first.eta_s(NOW_S + 30)) == (0.25, 90.0)
    second = first.ended(State.FAILED, NOW_S + 40).next_run(NOW_S + 50, again=False).started(NOW_S + 60, (0, 600))
    assert (second.fraction, second.eta_s(NOW_S + 90)) == (0.25, None)
    half = second.with_part(replace(second.parts[1], state=PartState.TRAINING, fraction=0.5))
    assert half.eta_s(NOW_S + 90) == pytest.approx(30 * 0.625 / 0.125)


def test_a_further_run_keeps_what_is_done_and_its_span(tmp_path):
    """Done parts and the span of the history stay; failed and skipped ones are trained, under a new name for the server."""
    record = part_done(running(tmp_path, groups=("group-0", "group-1"), horizons=("short",)), 0)
    record = part_done(record, 1, PartState.SKIPPED).ended(State.DONE, NOW_S + 9)
    assert not record.complete
    onward = record.next_run(NOW_S + 10, again=False)
    assert [part.state for part in onward.parts] == [PartState.DONE, PartState.WAITING]
    assert (onward.state, onward.span_s, onward.error) == (State.WAITING, (0, 600), "")
    assert (record.job_id, onward.job_id) == (f"{record.retraining_id}-1", f"{record.retraining_id}-2")


def test_again_forgets_what_is_done(tmp_path):
    """Asked again everything is trained, from the history as it is then."""
    record = part_done(running(tmp_path, groups=("hot-0",), horizons=("short",)), 0).ended(State.DONE, NOW_S + 9)
    assert record.complete
    anew = record.next_run(NOW_S + 10, again=True)
    assert (anew.parts, anew.span_s) == ((Part("hot-0", "short", parent="group-1"),), None)


def test_a_job_that_ended_without_a_word_has_failed(tmp_path):
    """Its last words are shown; parts under way are waiting again."""
    record = running(tmp_path, groups=("hot-0",), horizons=("short",))
    record = record.with_part(replace(record.parts[0], state=PartState.TRAINING, fraction=0.4))
    seen = as_seen(record, JobReport(over=True, message="Killed"), NOW_S + 9)
    assert (seen.state, seen.ended_s, seen.parts[0].state) == (State.FAILED, NOW_S + 9, PartState.WAITING)
    assert "Killed" in seen.error
    assert "ask for it again" in seen.error


def test_a_job_that_is_being_submitted_is_not_lost(tmp_path):
    """The job server need not know a job for some seconds after it was asked for; then it is lost."""
    record = a_record(tmp_path)
    assert as_seen(record, None, NOW_S + SUBMITTING_S - 1) is record
    assert as_seen(record, None, NOW_S + SUBMITTING_S).state is State.FAILED


@pytest.mark.parametrize(
    ("job", "state"),
    [
        (JobReport(over=False), State.RUNNING),
        (JobReport(over=True, stopped=True), State.CANCELLED),
        (None, State.FAILED),
    ],
)
def test_what_the_job_server_says_decides_while_the_record_is_open(tmp_path, job, state):
    """A living job's record is shown as it is; a stopped or forgotten job ends it."""
    assert as_seen(running(tmp_path), job, NOW_S).state is state


def test_a_closed_record_is_shown_as_it_is(tmp_path):
    """Once a job has written its last word, Ray may forget it."""
    record = running(tmp_path).ended(State.DONE, NOW_S)
    assert as_seen(record, None, NOW_S + 9) is record


def test_documents_come_back(tmp_path):
    """A record read from its JSON is the record."""
    record = part_done(running(tmp_path, since="14d"), 2).ended(State.FAILED, NOW_S + 9, "why")
    assert Retraining.from_document(json.loads(json.dumps(asdict(record)))) == record

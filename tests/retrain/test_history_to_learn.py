"""Which part of the history a retraining learns from."""

import numpy as np
import pytest
from retrainings_here import GROUPS, a_place

from plb_ray.cluster.retraining import RetrainRequest, planned
from plb_ray.domain.events import Event, EventCalendar
from plb_ray.domain.rates import RateHistory
from plb_ray.errors import BadInputError
from plb_ray.history.store import HistoryLimits, HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from service.retrain_job import history_to_learn

STEP_S = 3600
DAY_S = 86_400
END_S = 20_000 * DAY_S
STEPS = 30 * 24
ALL_S = 400 * DAY_S


@pytest.fixture
def state(tmp_path):
    """Return a state folder with 30 days of history that end at END_S; step number + 1 is the rate of op-0."""
    store = HistoryStore.open(tmp_path / "history", STEP_S, HistoryLimits())
    rates = np.stack([1.0 + np.arange(STEPS), np.ones(STEPS)]).astype(np.float32)
    store.import_history(RateHistory(("op-0", "op-1"), END_S - STEPS * STEP_S, STEP_S, rates))
    store.close()
    return tmp_path


def learnt(state, since="", training_s=ALL_S, now_s=END_S + 60.0, span_s=None):
    record = planned(RetrainRequest(since=since), set(GROUPS.values()), a_place(state), now_s)
    if span_s is not None:
        record = record.started(now_s, span_s)
    history = history_to_learn(state, record, training_s, now_s)
    assert history.messages_per_s.dtype == np.float32
    return history.start_s, history.end_s, history


def test_as_much_as_the_forecasters_make_use_of(state):
    """Without a span it is what `fit` makes use of, or all there is."""
    assert learnt(state, training_s=7 * DAY_S)[:2] == (END_S - 7 * DAY_S, END_S)
    assert learnt(state)[:2] == (END_S - 30 * DAY_S, END_S)


@pytest.mark.parametrize("late_s", [60.0, 10 * DAY_S, 3000 * DAY_S])
def test_a_span_counts_back_from_the_end_of_the_history(state, late_s):
    """Also of a history that was imported and ended long ago."""
    first, end, history = learnt(state, since="14d", now_s=END_S + late_s)
    assert (first, end) == (END_S - 14 * DAY_S, END_S)
    assert history.rows(("op-0",)).messages_per_s[0, 0] == STEPS - 14 * 24 + 1


def test_a_moment_is_that_moment(state):
    """An ISO time is where it begins."""
    assert learnt(state, since="2024-10-01")[0] == 1_727_740_800
    assert END_S - 30 * DAY_S < 1_727_740_800 < END_S


def test_a_later_run_learns_from_the_same_span(state):
    """However late it runs, and whatever has come since, it is the span of the first run."""
    span_s = (END_S - 10 * DAY_S, END_S - 2 * DAY_S)
    assert learnt(state, since="14d", now_s=END_S + 3000 * DAY_S, span_s=span_s)[:2] == span_s


def test_the_events_are_learnt_with_it(state):
    """The calendar of the state folder is part of what is learnt from."""
    event = Event("final", "match", "Final", END_S - 3600.0, END_S + 3600.0)
    CalendarStore(state).put(EventCalendar((event,)))
    assert learnt(state)[2].calendar.events == (event,)


def test_nothing_to_learn_from(state, tmp_path):
    """A moment behind the end, and a state folder without history, are refusals that say so."""
    with pytest.raises(BadInputError, match="holds nothing since 2030-01-01"):
        learnt(state, since="2030-01-01")
    with pytest.raises(BadInputError, match="there is none"):
        learnt(tmp_path / "empty")

"""A real Prometheus with a day of counters: two processes, a restart, an hour of silence, all the way into the history."""

import httpx
import numpy as np
import pytest
from prometheus_server import prometheus_server

from plb_ray.domain.samples import PushOutcome, SampleKind
from plb_ray.errors import BadInputError, RetryableError
from plb_ray.history.reader import read_history
from plb_ray.history.samples import to_cells
from plb_ray.history.store import HistoryLimits, HistoryStore
from plb_ray.ingest.follower import Follower, Pace
from plb_ray.ingest.prometheus import PrometheusQuery, PrometheusSource
from plb_ray.settings import HistorySettings, PrometheusSettings, Settings
from service import doctor

STEP_S = 60
STEPS = 24 * 60
T0 = 1_385_510_400  # 2013-11-27 00:00 UTC
END_S = T0 + STEPS * STEP_S
RESTART, SILENT, BACK = 600, 900, 960  # step in which process 1 of "a" restarts; steps without samples of "b"
PER_STEP = {"a/1": 60, "a/2": 30, "b/1": 120}  # messages
SUMMED = "sum by (order_param) (rate(messages_total[1m]))"


def counters():
    """Return OpenMetrics text: a sample of each counter every 30 s."""
    lines = ["# HELP messages Messages appended.", "# TYPE messages counter"]
    for name, per_step in PER_STEP.items():
        order_param, process = name.split("/")
        total = 1000.0
        for half in range(2 * STEPS + 1):
            total += per_step / 2 if half else 0
            if name == "a/1" and half == 2 * RESTART + 1:
                total = per_step / 2
            if name != "b/1" or not 2 * SILENT < half < 2 * BACK:
                labels = f'order_param="{order_param}",process="{process}"'
                lines.append(f"messages_total{{{labels}}} {total} {T0 + 30 * half}")
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with prometheus_server(tmp_path_factory.mktemp("prometheus"), counters()) as at:
        yield at


def source(url, query="messages_total", label="order_param", kind=SampleKind.COUNTER):
    return PrometheusSource(PrometheusQuery(url, query, label, kind, STEP_S))


class AtTheEnd:
    """A clock that stands at the end of the day."""

    def now_s(self):
        return float(END_S)


class Taker:
    """Puts what a source has into a history, and keeps count."""

    def __init__(self, store):
        self.store, self.outcome = store, PushOutcome()

    async def take(self, batch):
        cells, outcome = to_cells(batch, STEP_S, END_S)
        outcome = outcome.plus(self.store.push(cells))
        self.outcome = self.outcome.plus(outcome)
        return outcome


async def follow(url, store, **asked):
    """Make one round over the whole day; return what became of the samples, and what went wrong."""
    asks, taker = source(url, **asked), Taker(store)
    follower = Follower(asks, taker.take, lambda _why: None, AtTheEnd(), Pace(STEP_S, 60.0, STEPS * STEP_S))
    why = await follower.round()
    await asks.close()
    return taker.outcome, why


@pytest.fixture
def store(tmp_path):
    made = HistoryStore.open(tmp_path / "history", STEP_S, HistoryLimits())
    yield made
    made.close()


async def test_counters_become_the_rates_that_they_counted(url, store, tmp_path):
    """A day of two processes with a restart and a silence: exact rates, on disk too; asking again changes nothing."""
    outcome, why = await follow(url, store)
    assert why == ""
    assert (outcome.new, outcome.resets, outcome.refused, outcome.too_late) == (2 * STEPS, 1, 0, 0)
    history = read_history(tmp_path / "history")
    assert (history.start_s, history.end_s) == (T0, END_S)
    a, b = history.rows(("a", "b")).messages_per_s
    np.testing.assert_allclose(a, np.full(STEPS, 1.5), rtol=1e-6)
    assert b.sum() * STEP_S == pytest.approx(120 * STEPS, rel=1e-6)
    np.testing.assert_allclose(np.concatenate([b[:SILENT], b[BACK + 5 :]]), 2.0, rtol=1e-6)
    again, why = await follow(url, store)
    assert (again.duplicate, again.new, again.replaced, why) == (2 * STEPS, 0, 0, "")


async def test_rates_that_prometheus_computes_are_taken_as_they_are(url, store):
    """`rate` over one step, summed by order param, is the step's rate; where Prometheus knows nothing there is no cell."""
    outcome, why = await follow(url, store, query=SUMMED, kind=SampleKind.RATE)
    assert why == ""
    a, b = store.window().rows(("a", "b")).messages_per_s
    np.testing.assert_allclose(np.delete(a, [0, RESTART]), 1.5, rtol=0.01)
    np.testing.assert_allclose(b[2:SILENT], 2.0, rtol=0.01)
    assert outcome.refused == 0
    assert outcome.new < 2 * STEPS - 50  # the silence


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"query": "sum by ("}, "refuses history.prometheus.query 'sum by .*parse error"),
        ({"query": "messages_total", "label": "queue"}, "they have: __name__, order_param, process"),
        ({"query": "sum(rate(messages_total[1m]))"}, "they have: none at all"),
    ],
)
async def test_its_refusals_are_passed_on(url, asked, words):
    """What Prometheus says of a bad query, and the labels that there are, reach whoever asked."""
    asks = source(url, **asked)
    with pytest.raises(BadInputError, match=words):
        await asks.read(T0, END_S)
    await asks.close()


async def test_a_query_without_series_is_no_error(url):
    """A metric that does not exist (yet) gives no samples."""
    asks = source(url, query="no_such_metric")
    assert (await asks.read(T0, END_S)).batch.series == ()
    await asks.close()


async def test_one_that_is_down_is_said_to_be():
    """No server at the address: the error says where, after the tries."""

    async def no_wait(_seconds):
        pass

    nowhere = PrometheusQuery("http://127.0.0.1:1", "x", "order_param", SampleKind.RATE, STEP_S)
    asks = PrometheusSource(nowhere, httpx.AsyncHTTPTransport(), no_wait)
    with pytest.raises(RetryableError, match=r"Prometheus at http://127\.0\.0\.1:1 does not answer"):
        await asks.read(T0, END_S)
    await asks.close()


def test_the_doctor_says_what_it_finds(url):
    """`plb doctor` asks the query that is set and names an order param, or says what to change."""

    def told(**asked):
        settings = PrometheusSettings(url, **asked)
        return doctor.check_prometheus(Settings(history=HistorySettings(prometheus=settings)), float(END_S))

    assert told(query=SUMMED) == "it answers with 2 order params, for example 'a'"
    assert "the query gives nothing now; check history.prometheus.query" in told(query="no_such_metric")
    with pytest.raises(BadInputError, match=r"set history\.prometheus\.label"):
        told(query=SUMMED, label="queue")

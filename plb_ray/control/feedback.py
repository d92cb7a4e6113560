"""The feedback loop: what was foreseen is compared with what came, kept, summed up, and acted upon.

    forecasts --note--> pending --settle(history)--> outcomes --> sums of the week --> verdict --> ModelKeeper.demote
                                                        +-------> OutcomeWriter (the table, in the background)

What is compared
    Of each cutoff the first and the last step of the horizon, and the steps that end 6 h and 12 h ahead where the horizon
    reaches further; once each, when the history has reached the step's end. A step that the history has only filled up, or
    has not any more, is not compared. What is told of a step later changes nothing. What is pending when the process ends is
    lost: up to a day of the farthest steps.

What it costs
    With more than `order_params_max` order params the busiest of them are followed, chosen anew each UTC day by their mean
    rate over the day before. K followed order params cost K x levels x 4 bytes for each pending (cutoff, step): with 13
    levels and steps of a minute 16 of them at the short horizon and 43 at the medium one, that is 15 MB for the 5,000 that
    are followed of 100,000 (300 MB if all were). On disk a row takes some 35 bytes: each order param adds 2 rows a step
    and 4 an hour, with steps of a minute 100 KB a day, so 5,000 of them 500 MB a day and 7 GB in 14 days.

Who is judged
    Only what champions foresaw counts for a demotion; where the baseline answered, that is summed up apart. The judgement is
    on a horizon as a whole, all its order params and whichever versions served in the week. After a demotion the sums begin
    anew with the forecasts made after it, so the next champion has two days at least.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from plb_ray.control.common_errors import CommonErrors
from plb_ray.control.daily_tallies import DailyTallies, day_of
from plb_ray.control.forecast_quality import BASELINE, CHAMPION, VerdictRule, coverage, tally, verdict
from plb_ray.control.joint_errors import JointErrors
from plb_ray.control.outcome_writer import OutcomeWriter, WriterParams
from plb_ray.control.pairing import busiest, kept_steps, outcomes_of
from plb_ray.domain.outcomes import Distance, OrderParamOutcomes
from plb_ray.errors import BadInputError
from plb_ray.history.outcomes import DAY_S, KEPT_LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.domain.rates import Forecast, RateHistory
    from plb_ray.estimate.scenarios import Scenarios
    from plb_ray.history.outcomes import Outcomes, OutcomeStore

LOG = logging.getLogger("plb.feedback")
SHORT = "short"
DRAWS_SEED = 1  # of the levels of idle order params; any will do
_NO_GAPS = np.zeros(0, dtype=np.int64)


class ModelKeeper(Protocol):
    """Who decides which forecasters serve. Synchronous and blocks on the disk; called off the event loop."""

    def demote(self, horizon: str, reason: str, at_s: float) -> None:
        """Let the baseline serve this horizon until new champions are found. Again changes nothing."""
        ...


@dataclass(frozen=True)
class FeedbackParams:
    """How much is followed, for how long, and what follows from it.

    Attributes:
        order_params_max: >= 1, most order params that are followed.
        window_days: >= 3, UTC days that the sums slide over, today included.
        baseline_sources: what forecasts of the baseline are signed with.
        rule: when a champion is demoted.
        writer: how often the table is written, and how much it keeps.
    """

    order_params_max: int = 5_000
    window_days: int = 7
    baseline_sources: frozenset[str] = frozenset({"seasonal_naive"})
    rule: VerdictRule = field(default_factory=VerdictRule)
    writer: WriterParams = field(default_factory=WriterParams)

    def __post_init__(self) -> None:
        """Check every range. Raises BadInputError."""
        if self.order_params_max < 1 or self.window_days < 3:
            raise BadInputError("feedback: order_params_max must be at least 1, and window_days at least 3")


@dataclass(eq=False)
class _Pending:
    """A forecast of the followed order params, cut down to the steps that are kept.

    Attributes:
        forecast: (K', S, Q).
        ahead_s: column and distance of its end, for each step that has not come yet.
    """

    forecast: Forecast
    ahead_s: dict[int, int]


class Feedback:
    """Follows the forecasts of both horizons. Use from one event loop: `settle`, then `note`, once a tick; at last `close`.

    Args:
        params: see there.
        store: where outcomes are kept; None: nowhere.
        keeper: whom to tell of a verdict; None: nobody.

    Attributes:
        error: what went wrong the last time with the table or the keeper, in one sentence; empty if nothing did. Forecasts
            and sums go on without either.
    """

    def __init__(
        self,
        params: FeedbackParams | None = None,
        store: OutcomeStore | None = None,
        keeper: ModelKeeper | None = None,
    ) -> None:
        self._params = params or FeedbackParams()
        self._keeper = keeper
        self._tallies = DailyTallies()
        self._common = CommonErrors()
        self._joint = JointErrors(np.random.default_rng(DRAWS_SEED))
        self._writer = None if store is None else OutcomeWriter(store, self._params.writer)
        self._pending: dict[tuple[str, int], _Pending] = {}
        self._followed: frozenset[str] | None = None  # None: all
        self._chosen_day = -1
        self._counts_from_s: dict[str, int] = {}
        self._restoring: asyncio.Task[None] | None = None
        self._keeper_error = ""

    @property
    def error(self) -> str:
        """See the class."""
        return self._keeper_error or (self._writer.error if self._writer else "")

    def quality(self) -> tuple[ForecastQuality, ...]:
        """Return how good the last week's forecasts were, by horizon and forecaster; one without pairs is left out."""
        found = (
            self._tallies.quality(horizon, forecaster)
            for horizon in self._tallies.horizons
            for forecaster in (CHAMPION, BASELINE)
        )
        return tuple(quality for quality in found if quality is not None)

    async def outcomes(self, order_param: str, horizon: str, since_s: int, distance: Distance) -> OrderParamOutcomes:
        """Return what was foreseen of one order param since a time, so far ahead, and what came.

        Only the followed order params are compared, and without a store nothing is kept.
        """
        found = () if self._writer is None else await self._writer.of_order_param(order_param, horizon, since_s)
        chosen = min if distance is Distance.NEXT else max
        ahead_s = chosen((each.ahead_s for each in found), default=0)
        items = tuple(each for each in found if each.ahead_s == ahead_s)
        within_80, within_95 = coverage(np.array([each.pit for each in items])) or (None, None)
        return OrderParamOutcomes(order_param, horizon, KEPT_LEVELS, items, within_80, within_95)

    @property
    def correlation(self) -> float:
        """How far the errors of any two order params move together, one step ahead, in [0, 1]."""
        return self._common.correlation

    @property
    def scenarios(self) -> Scenarios:
        """How the errors of the followed order params came together lately."""
        return self._joint.scenarios()

    def note(self, forecast: Forecast) -> None:
        """Remember a forecast until its steps have come. Again with the same cutoff, or before any `settle`: ignored."""
        key = (forecast.horizon.name, forecast.cutoff_s)
        if key in self._pending or self._chosen_day < 0:
            return
        steps = kept_steps(forecast.horizon)
        rows = self._followed_rows(forecast.order_params)
        kept = replace(
            forecast,
            order_params=tuple(forecast.order_params[row] for row in rows),
            messages_per_s=np.asarray(forecast.messages_per_s[np.ix_(rows, steps)], dtype=np.float32),
            sources=tuple(forecast.sources[row] for row in rows),
        )
        ahead_s = {column: (step + 1) * forecast.horizon.step_s for column, step in enumerate(steps)}
        self._pending[key] = _Pending(kept, ahead_s)

    async def settle(self, history: RateHistory, gap_starts_s: NDArray[np.int64] = _NO_GAPS) -> None:
        """Compare what has come with what was foreseen of it, and demote a champion that is not good enough.

        Args:
            history: (K, T) the observed rates; the longer the better, a day and a step to compare with the seasonal naive.
            gap_starts_s: starts of those of its steps of which nothing is known, ascending.
        """
        self._start_restoring(history.end_s)
        self._choose(history)
        # In a thread, since migrations share the event loop; what others may read meanwhile is changed here.
        for outcomes, tallies in await asyncio.to_thread(self._compared, history, gap_starts_s):
            self._tallies.merge(tallies)
            if outcomes.horizon == SHORT and outcomes.ahead_s == history.step_s:
                self._common.add(outcomes)
            self._joint.add(outcomes)
            if self._writer is not None:
                self._writer.add(outcomes)
        self._tallies.forget(day_of(history.end_s) - self._params.window_days + 1)
        if self._writer is not None and self._restored:
            self._writer.write_if_due(history.end_s)
        await self._demote_if_bad(history.end_s)

    async def close(self) -> None:
        """Write what is not written yet; again does nothing."""
        if self._restoring is not None:
            await self._restoring
        if self._writer is not None:
            await self._writer.close()

    # ---- who is followed

    def _choose(self, history: RateHistory) -> None:
        """Choose the busiest order params once a day."""
        day, most = day_of(history.end_s), self._params.order_params_max
        crowded = len(history.order_params) > most
        if day != self._chosen_day or crowded != (self._followed is not None):
            self._chosen_day = day
            self._followed = busiest(history, most) if crowded else None

    def _followed_rows(self, order_params: tuple[str, ...]) -> list[int]:
        if self._followed is None:
            return list(range(len(order_params)))[: self._params.order_params_max]
        return [row for row, name in enumerate(order_params) if name in self._followed]

    # ---- comparing

    def _compared(self, history: RateHistory, gap_starts_s: NDArray[np.int64]) -> list[tuple[Outcomes, DailyTallies]]:
        """Return the outcomes of all steps that have come, each with its sums, and forget those steps."""
        compared = []
        for key, pending in list(self._pending.items()):
            due = [column for column, ahead_s in pending.ahead_s.items() if key[1] + ahead_s <= history.end_s]
            for column in due:
                found = outcomes_of(pending.forecast, column, pending.ahead_s.pop(column), history, gap_starts_s)
                if found is not None:
                    compared.append((found, self._summed_up(found)))
            if not pending.ahead_s:
                del self._pending[key]
        return compared

    def _summed_up(self, outcomes: Outcomes) -> DailyTallies:
        tallies, end_s = DailyTallies(), outcomes.end_s
        by_baseline = np.array([source in self._params.baseline_sources for source in outcomes.sources], dtype=np.bool_)
        tallies.add((outcomes.horizon, BASELINE, day_of(end_s)), tally(outcomes.pairs.of(by_baseline), end_s, end_s))
        if outcomes.cutoff_s >= self._counts_from_s.get(outcomes.horizon, 0):
            champions = tally(outcomes.pairs.of(~by_baseline), end_s, end_s)
            tallies.add((outcomes.horizon, CHAMPION, day_of(end_s)), champions)
        return tallies

    # ---- demotion

    async def _demote_if_bad(self, at_s: int) -> None:
        if self._keeper is None or not self._restored:
            return
        judged = ((each, verdict(each, self._params.rule)) for each in self.quality() if each.forecaster == CHAMPION)
        reasons = {quality.horizon: reason for quality, reason in judged if reason}
        if not reasons:
            self._keeper_error = ""
        for horizon, reason in reasons.items():
            await self._demote(self._keeper, horizon, reason, at_s)

    async def _demote(self, keeper: ModelKeeper, horizon: str, reason: str, at_s: int) -> None:
        """Tell the keeper, and begin anew with forecasts made from now on. If that fails the next `settle` tries again."""
        try:
            await asyncio.to_thread(keeper.demote, horizon, reason, float(at_s))
        except Exception as error:
            told = f"the {horizon} champion should be demoted, which failed: {type(error).__name__}: {error}"
            if told != self._keeper_error:
                LOG.exception("%s (%s)", told, reason)
            self._keeper_error = told
            return
        self._keeper_error = ""
        LOG.warning("the %s champion is demoted: %s", horizon, reason)
        self._tallies.reset(horizon, CHAMPION)
        self._counts_from_s[horizon] = at_s + 1  # what this tick foresees was still made by the one that is demoted
        if self._writer is not None:
            await self._writer.note_counts_from(dict(self._counts_from_s))

    # ---- after a restart

    @property
    def _restored(self) -> bool:
        return self._writer is None or (self._restoring is not None and self._restoring.done())

    def _start_restoring(self, at_s: int) -> None:
        """Read the week's outcomes in the background, once; nothing is written before that is done."""
        if self._writer is not None and self._restoring is None:
            since_s = (day_of(at_s) - self._params.window_days + 1) * DAY_S
            self._restoring = asyncio.create_task(self._restore(self._writer, since_s), name="read the outcomes")

    async def _restore(self, writer: OutcomeWriter, since_s: int) -> None:
        tallies, self._counts_from_s = await writer.read(since_s, self._params.baseline_sources)
        self._tallies.merge(tallies)

"""What makes trained forecasters safe to plan on: a new one must prove itself against the one that serves, and the baseline.

The life of a version
    fit      the challenger learns from all but the tail of the history, and forecasts the tail
    save     the champion forecasts the same tail, the challenger becomes a version, and `models.verdict` says who serves
    predict  the champion, or the baseline where there is none; the baseline stands in for each row that is spoiled

Who serves is in the registry (`models.registry`), which others may change: a retraining, a person, the feedback loop. Every
`predict` looks there first, at the cost of one `stat`.

The networks have not learnt the tail that they were judged on (`models.trials.TrialParams`) until they are trained again.
"""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass
from importlib.metadata import version as version_of_package
from typing import TYPE_CHECKING

from models.base import LEVELS
from models.baseline import BASELINE_LOOKBACK_S, seasonal_naive
from models.drift import drift
from models.registry import VersionFolder
from models.registry_entry import DataSpan, Entry, What
from models.trials import (
    digest_of,
    hold_out,
    run_trial,
    significantly_better,
    until,
    with_spoiled_rows_replaced,
)
from models.verdict import ChampionParams, decide
from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.domain.events import utc_text
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.base import Forecaster
    from models.drift import DriftReport
    from models.trials import Tail, Trial
    from models.verdict import Decision
    from plb_ray.domain.rates import Forecast, Horizon, RateHistory

LOG = logging.getLogger(__name__)
WHO = "training"
LEARNING_SHARE = 0.95
"""Of the progress of `fit`: what the challenger takes; the trial is the rest."""

_NEVER = object()


@dataclass(frozen=True, eq=False)
class _Challenger:
    """One that has been trained and tried, and has not become a version yet."""

    forecaster: Forecaster
    tail: Tail
    trial: Trial
    baseline: Trial
    data: DataSpan
    training_s: float


@dataclass(frozen=True, eq=False)
class _Sitting:
    """The champion that is challenged, as far as there is one."""

    version: str | None
    forecaster: Forecaster | None = None
    trial: Trial | None = None
    drift: DriftReport | None = None
    vacancy: str = ""


class ChampionForecaster:
    """Implements `plb_ray.control.ports.Forecaster`: several versions behind one.

    Args:
        make: makes an untrained forecaster; every version has its own.
        kind: of forecaster, a word for people; with `recipe` it says what is trained.
        seed: that `make` trains with.
        recipe: the parameters that `make` trains with, as text.
        params: see `ChampionParams`.
        now_s: wall clock, for the registry.
        elapsed_from: a clock whose differences are seconds.
    """

    def __init__(
        self,
        make: Callable[[], Forecaster],
        kind: str = "network",
        seed: int = 0,
        recipe: str = "",
        params: ChampionParams | None = None,
        now_s: Callable[[], float] = wall_time_s,
        elapsed_from: Callable[[], float] = monotonic_s,
    ) -> None:
        self._make = make
        self._kind, self._seed, self._recipe = kind, seed, recipe
        self._params = params or ChampionParams()
        self._now_s, self._elapsed_s = now_s, elapsed_from
        untrained = make()
        self.lookback_s = max(untrained.lookback_s, BASELINE_LOOKBACK_S)
        """See `Forecaster`."""
        self.training_s = max(untrained.training_s, BASELINE_LOOKBACK_S)
        """See `Forecaster`."""
        self.version: str | None = None
        """Which version answers; None = the baseline, or a challenger that was not saved."""
        self._challenger: _Challenger | None = None
        self._horizon: Horizon | None = None
        self._serving: Forecaster | None = None
        self._folder: VersionFolder | None = None
        self._seen: object = _NEVER

    def fit(
        self,
        history: RateHistory,
        horizon: Horizon,
        on_progress: Callable[[float], None] | None = None,
        parent: Path | None = None,
    ) -> None:
        """See `Forecaster`. Until it is saved the challenger answers, if it is not worse than the baseline on the tail.

        Of `parent`, the versions of another group, the champion is gone on from, or the newest version without one.
        """
        tell = on_progress or _ignore
        history = history.last(self.training_s // history.step_s)
        tail = hold_out(history, horizon, self._params.trial)
        forecaster, began_s = self._make(), self._elapsed_s()
        start = None if parent is None else VersionFolder(parent, self._now_s).best_model()
        forecaster.fit(until(history, tail.learnt_until_s), horizon, lambda done: tell(LEARNING_SHARE * done), start)
        training_s = self._elapsed_s() - began_s
        trial = run_trial(_sound(forecaster), tail)
        baseline = run_trial(lambda past: seasonal_naive(past, horizon), tail)
        self._challenger = _Challenger(forecaster, tail, trial, baseline, _span_of(history, tail), training_s)
        self._serving = forecaster if trial.wql <= baseline.wql else None
        self._horizon, self._folder, self.version = horizon, None, None
        tell(1.0)

    def predict(self, history: RateHistory) -> Forecast:
        """See `Forecaster`. What another process has made champion meanwhile answers."""
        if self._horizon is None:
            raise NoForecastError("the forecaster was not trained yet")
        self._follow({})
        if self._serving is None:
            return seasonal_naive(history, self._horizon)
        return with_spoiled_rows_replaced(self._serving.predict(history), history)

    def save(self, folder: Path) -> None:
        """See `Forecaster`. Adds what was trained as a version and lets it serve if it has proved itself.

        A crash leaves the champion as it was. What was trained is saved once.
        """
        challenger = self._challenger
        if challenger is None:
            raise NoForecastError("there is nothing to save that was trained since the last time; call fit first")
        versions = VersionFolder(folder, self._now_s)
        sitting = self._sitting(versions, challenger.tail)
        version = versions.add(challenger.forecaster.save, self._entry(challenger, sitting), WHO)
        overlap = challenger.tail.overlap
        decision = decide(challenger.trial, challenger.baseline, sitting.trial, sitting.vacancy, overlap, self._params)
        _carry_out(versions, version, decision, sitting)
        versions.prune(self._params.keep, WHO)
        self._challenger, self._folder, self._seen = None, versions, _NEVER
        self._serving, self.version = None, None
        self._follow({version: challenger.forecaster, sitting.version or "": sitting.forecaster})

    def load(self, folder: Path) -> None:
        """See `Forecaster`. Without a champion the baseline answers, as long as there is a version to tell the horizon."""
        versions = VersionFolder(folder, self._now_s)
        if not versions.versions():
            older = "a network of an older plb-ray, which is not used" if versions.holds_only_older_format else "no version"
            raise NoForecastError(f"{folder} holds {older}; the next training makes one")
        seen, version = versions.pointer_key(), versions.champion()
        horizon = versions.entry(version or versions.versions()[-1]).horizon
        forecaster = None if version is None else self._read(versions, version)
        self._horizon, self._folder, self._seen = horizon, versions, seen
        self._serving, self.version, self._challenger = forecaster, version, None

    def _follow(self, known: dict[str, Forecaster | None]) -> None:
        """Serve whoever is champion now; `known` are loaded already. Without success the older one goes on."""
        if self._folder is None:
            return
        try:
            seen = self._folder.pointer_key()
            if seen == self._seen:
                return
            self._seen = seen
            version = self._folder.champion()
            self._serving = None if version is None else known.get(version) or self._read(self._folder, version)
        except Exception:  # whatever is wrong with a newer one, forecasts go on; said once per change
            LOG.exception(
                "%s: the new champion cannot be read; %s goes on", self._folder.folder, self.version or "the baseline"
            )
            return
        self.version = version

    def _read(self, versions: VersionFolder, version: str) -> Forecaster:
        forecaster = self._make()
        forecaster.load(versions.model(version))
        return forecaster

    def _sitting(self, versions: VersionFolder, tail: Tail) -> _Sitting:
        """Return the champion and how it did on the tail; one that cannot serve has no trial."""
        version = None
        try:
            version = versions.champion()
            if version is None:
                return _Sitting(None)
            entry = versions.entry(version)
            if (entry.horizon, entry.levels) != (tail.horizon, LEVELS):
                return _Sitting(version, vacancy=f"the champion {version} was made for other steps or quantiles")
            forecaster = self._read(versions, version)
            trial = run_trial(_sound(forecaster), tail)
        except Exception as error:  # whatever is wrong with the old one, the new one must get its chance
            LOG.warning("%s: the champion cannot serve", versions.folder, exc_info=not isinstance(error, NoForecastError))
            return _Sitting(version, vacancy=f"the champion cannot serve: {error}")
        drifted = drift(trial.losses, tail.cutoffs_s, entry.losses, self._params.drift)
        return _Sitting(version, forecaster, trial, drifted)

    def _entry(self, challenger: _Challenger, sitting: _Sitting) -> Entry:
        code, horizon = version_of_package("plb-ray"), challenger.tail.horizon
        made_from = (self._kind, self._recipe, self._seed, horizon, challenger.data, code)
        return Entry(
            horizon=horizon,
            levels=LEVELS,
            kind=self._kind,
            metrics=_metrics(challenger, sitting),
            losses=tuple(challenger.trial.losses.tolist()),
            data=challenger.data,
            seed=self._seed,
            training_s=challenger.training_s,
            training_key=hashlib.sha256(repr(made_from).encode()).hexdigest()[:16],
            code_version=code,
        )


def _carry_out(versions: VersionFolder, version: str, decision: Decision, sitting: _Sitting) -> None:
    """Do what was decided, unless somebody has changed the champion since it was judged."""
    reason = decision.reason
    if sitting.drift is not None and sitting.drift.drifted:
        reason += f"; the losses of {sitting.version} have drifted since {utc_text(sitting.drift.since_s or 0)}"
    if decision.what == What.PROMOTED:
        done = versions.promote(version, reason, WHO, over=sitting.version)
    elif decision.what == What.DEMOTED:
        done = versions.demote(f"{version}: {reason}", WHO, over=sitting.version)
    else:
        versions.keep(f"against {version}: {reason}", WHO)
        return
    if not done:
        versions.keep(f"against {version}: somebody has changed the champion while it was judged ({reason})", WHO)


def _metrics(challenger: _Challenger, sitting: _Sitting) -> dict[str, float]:
    """Return what docs/models.md lists; those that are not finite are left out."""
    found = {
        "wql": challenger.trial.wql,
        "wql_baseline": challenger.baseline.wql,
        "coverage_80": challenger.trial.coverage_80,
        "coverage_95": challenger.trial.coverage_95,
        "origins": float(len(challenger.tail.origins)),
    }
    if sitting.trial is not None:
        found["wql_champion"] = sitting.trial.wql
        found["p_value"] = significantly_better(challenger.trial.losses, sitting.trial.losses, challenger.tail.overlap)
    if sitting.drift is not None:
        found["champion_drift"] = sitting.drift.statistic
        found["champion_drifted"] = float(sitting.drift.drifted)
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _span_of(history: RateHistory, tail: Tail) -> DataSpan:
    names = len(history.order_params)
    return DataSpan(history.start_s, tail.learnt_until_s, history.end_s, history.step_s, names, digest_of(history))


def _sound(forecaster: Forecaster) -> Callable[[RateHistory], Forecast]:
    return lambda past: with_spoiled_rows_replaced(forecaster.predict(past), past)


def _ignore(_: float) -> None:
    """Take no notice of progress."""

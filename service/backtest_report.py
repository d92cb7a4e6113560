"""What a backtest comes to, as data and in words: the JSON document and the sentences. Showing it is done elsewhere."""

from __future__ import annotations

import math
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from models.base import LEVELS
from models.regret import LEVEL, shards_for
from models.traffic_class import CLASSES
from service.plan_report import peak_memory_mb

if TYPE_CHECKING:
    from models.backtest import Backtest, EventGain
    from models.backtest_judge import Judgement
    from models.scores import Scores
    from service.backtest_run import Outcome

SIGNIFICANT = 0.05


def document(outcome: Outcome) -> dict[str, Any]:
    """Return what `--json` writes; figures that do not exist are null."""
    backtest, course = outcome.backtest, outcome.backtest.course
    rival = backtest.best_rival
    return {
        "horizon": course.horizon.name,
        "bins": course.steps,
        "models": {each.name: _model(each, backtest) for each in backtest.judged},
        "champion": backtest.champion.name,
        "best_rival": rival.name if rival else None,
        "ratio_to_best_rival": ratio_to_best_rival(backtest.champion, backtest),
        "p_value": backtest.p,
        "verdict": verdict(outcome),
        "left_out": backtest.left_out,
        "by_class": {each.name: _by_class(each) for each in backtest.judged},
        "classes": class_counts(backtest),
        "sums": asdict(backtest.sums),
        "events": [asdict(each) for each in backtest.events],
        "events_in_trace": outcome.events,
        "trace": outcome.trace_name,
        "order_params": len(course.grid.order_params),
        "step_s": course.grid.step_s,
        "horizon_steps": course.horizon.steps,
        "start_s": course.grid.start_s,
        "train_bins": course.train_steps,
        "origins": len(course.origins),
        "seed": outcome.ask.seed,
        "shards": shards_for(len(course.grid.order_params)),
        "regret_level": LEVEL,
        "elapsed_s": round(outcome.elapsed_s, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "version": version("plb-ray"),
    }


def _model(judged: Judgement, backtest: Backtest) -> dict[str, Any]:
    scores, coverage = judged.scores, judged.coverage
    return {
        "wql": scores.wql,
        "mase": finite(scores.mase),
        "wape": scores.wape,
        "coverage_80": scores.coverage_80,
        "coverage_95": scores.coverage_95,
        "fit_s": round(judged.fit_s, 4),
        "predict_ms": round(judged.predict_ms, 4),
        "crps": scores.crps,
        **asdict(judged.regret),
        "ratio_to_best_rival": ratio_to_best_rival(judged, backtest),
        "rival": judged.entrant.is_rival,
        "worst_week_80": coverage.worst_week_80 if coverage else None,
        "worst_week_95": coverage.worst_week_95 if coverage else None,
        "wql_by_step": judged.wql_by_step.tolist(),
        "wql_at_events": judged.wql_at_events,
        "reliability": {f"{level:g}": share for level, share in zip(LEVELS, judged.reliability.tolist(), strict=True)},
    }


def _by_class(judged: Judgement) -> dict[str, dict[str, float | None]]:
    return {name: _finite_scores(scores) for name, scores in judged.of_class.items()}


def _finite_scores(scores: Scores) -> dict[str, float | None]:
    return {name: finite(value) for name, value in asdict(scores).items()}


def finite(value: float) -> float | None:
    """Return a figure, or None if there is none."""
    return value if math.isfinite(value) else None


def class_counts(backtest: Backtest) -> dict[str, int]:
    """Return how many order params each class of traffic has."""
    counts = np.bincount(backtest.course.of_class, minlength=len(CLASSES))
    return dict(zip(CLASSES, counts.tolist(), strict=True))


def ratio_to_best_rival(judged: Judgement, backtest: Backtest) -> float | None:
    """Return the WQL relative to that of the best statistical standard; None if none ran, or if it made no error."""
    rival = backtest.best_rival
    return judged.scores.wql / rival.scores.wql if rival and rival.scores.wql > 0 else None


def verdict(outcome: Outcome) -> str:
    """Return who won, by how much and whether that may be luck, in a sentence or two."""
    backtest = outcome.backtest
    champion, rival, ratio = backtest.champion, backtest.best_rival, ratio_to_best_rival(backtest.champion, backtest)
    if rival is None:
        return f"{champion.name} foresees {outcome.trace_name} best. No statistical standard took part to compare it with."
    if champion.entrant.is_rival:
        return f"{champion.name}, a statistical standard, foresees {outcome.trace_name} best.{_runner_up(backtest)}"
    gain = "as well as" if ratio is None else f"{1.0 - ratio:.0%} better than"
    than = f"{champion.name} foresees {outcome.trace_name} {gain} the best statistical standard, {rival.name}"
    return f"{than}; the difference {significance(backtest.p)}."


def significance(p: float | None) -> str:
    """Return what a p-value says."""
    if p is None:
        return "was not tested"
    size = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"is significant ({size})" if p < SIGNIFICANT else f"may be chance ({size})"


def _runner_up(backtest: Backtest) -> str:
    """Return how far behind the best of the other models is."""
    ours = [each for each in backtest.judged if not each.entrant.is_rival]
    if not ours:
        return ""
    second = min(ours, key=lambda each: each.scores.wql)
    ratio = ratio_to_best_rival(second, backtest)
    return "" if ratio is None else f" The best other model, {second.name}, has {ratio - 1.0:.1%} more loss."


def events_words(outcome: Outcome) -> list[str]:
    """Return what the events brought, a sentence per model; none if no calendar was given."""
    if outcome.events is None:
        return []
    if outcome.events == 0:
        return ["None of the events falls into the trace."]
    seen = bool(outcome.backtest.course.touched.any())
    unseen = [] if seen else ["No event falls into a horizon of the test part: what events bring cannot be seen there."]
    return unseen + [_event_words(each) for each in outcome.backtest.events]


def _event_words(gain: EventGain) -> str:
    there = gain.at_with is not None and gain.at_without is not None
    at = f", and {_change(gain.at_with or 0.0, gain.at_without or 0.0)} where one falls into the horizon" if there else ""
    overall = _change(gain.with_events, gain.without)
    return f"Knowing the events, {gain.name} has {overall} overall{at}; that it gains {significance(gain.p)}."


def _change(now: float, before: float) -> str:
    if before <= 0 or now == before:
        return "the same loss"
    return f"{abs(1.0 - now / before):.1%} {'less' if now < before else 'more'} loss"


def settings_words(outcome: Outcome) -> str:
    """Return what was tried on what, in a sentence."""
    course = outcome.backtest.course
    count, step = len(course.grid.order_params), f"{course.grid.step_s / 60:g} min"
    return (
        f"{count:,} order param{'' if count == 1 else 's'}, {course.steps:,} steps of {step}; fitted on the first "
        f"{course.train_steps:,}, then {course.horizon.steps} steps ahead from {len(course.origins)} origins "
        f"(seed {outcome.ask.seed})"
    )

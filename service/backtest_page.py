"""One HTML page about a backtest that needs nothing else to be shown: verdict, tables, figures, and how to read them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from models.regret import LEVEL, shards_for
from service import backtest_charts as charts
from service.backtest_report import class_counts, events_words, settings_words, verdict
from service.backtest_screen import COLUMNS, CROWN, cells
from service.report_frame import heads, table, whole_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from models.backtest_judge import Judgement
    from service.backtest_run import Outcome


def page(outcome: Outcome) -> str:
    """Return the page; it holds plotly itself (about 4.5 MB) and asks no network."""
    title = f"Backtest: {outcome.trace_name}, {outcome.backtest.course.horizon.name} horizon"
    settings = f'<p class="how">{escape(settings_words(outcome))}</p>'
    return whole_page(title, verdict(outcome), (settings, *_sections(outcome)))


def _sections(outcome: Outcome) -> Iterable[str]:
    backtest = outcome.backtest
    yield _section("All models", MODELS_HOW, _models(outcome))
    yield _section("Loss by horizon step", "How fast foresight fades.", charts.by_step_chart(backtest))
    counts = ", ".join(f"{count} {name}" for name, count in class_counts(backtest).items() if count)
    yield _section("Loss by class of traffic", f"By the training part: {counts}.", charts.by_class_chart(backtest))
    yield _section("Reliability", RELIABILITY_HOW, charts.reliability_chart(backtest))
    yield _section("Coverage over time", COVERAGE_HOW, _coverage(outcome) + charts.coverage_chart(backtest))
    fans = "".join(charts.fan_chart(fan, number) for number, fan in enumerate(backtest.fans))
    yield _section(f"What {backtest.champion.name} said, and what came", FANS_HOW, fans)
    yield _section("A shard's p95 is not the sum of p95s", SUMS_HOW, _sums(outcome))
    yield _section("Decision regret", _regret_how(outcome), charts.regret_chart(backtest) + _regret(outcome))
    if outcome.events is not None:
        yield _section("What the events bring", EVENTS_HOW, _events(outcome))


MODELS_HOW = (
    "WQL: weighted quantile loss over the levels 0.1 to 0.9, relative to the traffic; the champion has the least. CRPS "
    "weighs all levels. MASE and WAPE judge the median alone. The intervals of 80 % and 95 % should hold as much as they "
    "are called. Regret: see below."
)
RELIABILITY_HOW = (
    "Share of the actual rates at or below each quantile. Below the diagonal a model says too little, above it too much. "
    "Where a rate meets several quantiles at once, as at 0, it is shared out among them."
)
COVERAGE_HOW = (
    "At every origin of the test part, the mean of the day before. Green: within 3 points of what was promised. The worst "
    "week is the one of all spans of seven days whose coverage is furthest off. Statistical standards are too slow to be "
    "asked here."
)
FANS_HOW = (
    "The last days of the trace: the busiest order params, a bursty and an intermittent one. Each piece was said before its "
    "first step. Dark: 80 %, light: 95 % of the cases should be inside."
)
SUMS_HOW = (
    "Random sets of order params that share a shard. Adding up their quantiles reserves for the case that all are high at "
    "once. Pooling them as the planner does should be exceeded in 1 - q of the cases, with less in reserve. Reserved is "
    "relative to what came."
)
EVENTS_HOW = "Each model that learns ran twice: knowing the calendar, and not knowing it."


def _regret_how(outcome: Outcome) -> str:
    shards = shards_for(len(outcome.backtest.course.grid.order_params))
    where = "on one shard" if shards == 1 else f"spread over {shards} shards"
    return (
        f"The order params are {where}, and each shard reserves its pooled {LEVEL:g} quantile. A message above the reserve "
        f"costs {LEVEL / (1 - LEVEL):.0f} times as much as a reserved one that does not come. Perfect foresight has 0; a "
        "regret of 0.3 is as bad as always having 30 % too much."
    )


def _section(title: str, how: str, body: str) -> str:
    return f'<h2>{escape(title)}</h2><p class="how">{escape(how)}</p>{body}'


def _table(label: str, head: Sequence[str], rows: Iterable[tuple[str, list[str]]], first: str = "") -> str:
    """Return a table whose first column is text and whose others are figures; the row called `first` stands out."""
    lines = (
        f"<tr{' class=first' if first and name == first else ''}><td>{escape(name)}</td>"
        + "".join(f'<td class="n">{escape(each)}</td>' for each in row)
        + "</tr>"
        for name, row in rows
    )
    return table(label, heads(head, first_text=1), lines)


def _models(outcome: Outcome) -> str:
    champion = f"{CROWN}{outcome.backtest.champion.name}"
    rows = [(_crowned(each, outcome), cells(each, outcome)) for each in _ranked(outcome)]
    left_out = "".join(
        f'<p class="stays">{escape(name)} took no part: {escape(why)}</p>' for name, why in outcome.backtest.left_out.items()
    )
    return _table("All models", ("model", *COLUMNS), rows, champion) + left_out


def _crowned(judged: Judgement, outcome: Outcome) -> str:
    return f"{CROWN}{judged.name}" if judged is outcome.backtest.champion else judged.name


def _ranked(outcome: Outcome) -> list[Judgement]:
    return sorted(outcome.backtest.judged, key=lambda each: each.scores.wql)


def _coverage(outcome: Outcome) -> str:
    rows = [
        (_crowned(each, outcome), [f"{each.coverage.worst_week_80:.1%}", f"{each.coverage.worst_week_95:.1%}"])
        for each in _ranked(outcome)
        if each.coverage is not None
    ]
    return _table("Worst weeks", ("model", "worst week of 80 %", "worst week of 95 %"), rows) if rows else ""


def _sums(outcome: Outcome) -> str:
    sums = outcome.backtest.sums
    if not sums.rows:
        return "<p>There are too few order params to add up.</p>"
    head = ("order params", "quantile", "ideal", "sum exceeded", "pooled exceeded", "sum reserves", "pooled reserves")
    rows = [
        (
            str(row.order_params),
            [
                f"{row.level:g}",
                f"{1 - row.level:.1%}",
                f"{row.added_exceeded:.1%}",
                f"{row.pooled_exceeded:.1%}",
                f"{row.added_reserved:.2f} x",
                f"{row.pooled_reserved:.2f} x",
            ],
        )
        for row in sums.rows
    ]
    return _table("Sums of quantiles", head, rows) + f"<p>Measured correlation of the errors: {sums.correlation:.3f}.</p>"


def _regret(outcome: Outcome) -> str:
    ranked = sorted(outcome.backtest.judged, key=lambda each: each.regret.regret)
    rows = [
        (_crowned(each, outcome), [f"{each.regret.regret:.3f}", f"{each.regret.overload:.2%}", f"{each.regret.idle:.1%}"])
        for each in ranked
    ]
    return _table("Decision regret", ("model", "regret", "overload", "idle"), rows)


def _events(outcome: Outcome) -> str:
    words = "".join(f"<p>{escape(each)}</p>" for each in events_words(outcome))
    rows = [
        (
            gain.name,
            [
                f"{gain.with_events:.4f}",
                f"{gain.without:.4f}",
                _figure(gain.at_with),
                _figure(gain.at_without),
                f"{gain.p:.3f}",
            ],
        )
        for gain in outcome.backtest.events
    ]
    head = ("model", "WQL with", "without", "with, at events", "without, at events", "p")
    return words + (_table("What the events bring", head, rows) if rows else "<p>No model that learns took part.</p>")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

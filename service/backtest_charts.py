"""The figures of a backtest's page, as pieces of HTML for `service.backtest_page`, which brings plotly itself."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from models.backtest_coverage import NOMINAL_80, NOMINAL_95
from models.base import DAY_S, LEVELS
from models.regret import LEVEL
from models.traffic_class import CLASSES
from service.report_frame import INK, chart

if TYPE_CHECKING:
    import numpy as np

    from models.backtest import Backtest
    from models.backtest_fans import Fan
    from models.backtest_judge import Judgement

CHAMPION, ACTUAL, IDEAL = "#2563eb", INK, "#8a95a3"
OVERLOAD, IDLE = "#dc2626", "#93c5fd"
PALETTE = ("#d97706", "#059669", "#7c3aed", "#db2777", "#0891b2", "#65a30d", "#b45309", "#be123c", "#4f46e5", "#0d9488")
BANDS = ((0.025, 0.975, "rgba(37,99,235,.14)", "95 %"), (0.1, 0.9, "rgba(37,99,235,.28)", "80 %"))
TOLERANCE = 0.03


def by_step_chart(backtest: Backtest) -> str:
    """Return the WQL of each model at each step of the horizon."""
    step_min = backtest.course.grid.step_s / 60
    ends = [step_min * (step + 1) for step in range(backtest.course.horizon.steps)]
    lines = [_line(backtest, each, ends, each.wql_by_step.tolist()) for each in _ranked(backtest)]
    return chart(lines, "by-step", xaxis_title="minutes ahead, end of the step", yaxis_title="WQL", yaxis_rangemode="tozero")


def by_class_chart(backtest: Backtest) -> str:
    """Return the WQL of each model for each class of traffic that occurs."""
    from plotly.graph_objects import Bar  # noqa: PLC0415  slow to import

    colours = _colours(backtest)
    occurring = [name for name in CLASSES if any(name in each.of_class for each in backtest.judged)]
    bars = [
        Bar(
            name=escape(each.name),
            x=occurring,
            y=[each.of_class[name].wql for name in occurring],
            marker_color=colours[each.name],
        )
        for each in _ranked(backtest)
    ]
    return chart(bars, "by-class", barmode="group", bargap=0.25, yaxis_title="WQL")


def reliability_chart(backtest: Backtest) -> str:
    """Return how often the actual rate was at or below each quantile: on the diagonal for a model that keeps its word."""
    from plotly.graph_objects import Scatter  # noqa: PLC0415  slow to import

    ideal = Scatter(name="ideal", x=[0, 1], y=[0, 1], mode="lines", line={"color": IDEAL, "dash": "dot"})
    lines = [
        _line(backtest, each, list(LEVELS), each.reliability.tolist(), mode="lines+markers") for each in _ranked(backtest)
    ]
    axes = {"range": [0, 1], "tickformat": ".0%"}
    return chart(
        [ideal, *lines], "reliability", xaxis={**axes, "title": "level"}, yaxis={**axes, "title": "at or below"}, height=520
    )


def coverage_chart(backtest: Backtest) -> str:
    """Return the coverage of a day at a time, of both intervals, of those models that were asked everywhere."""
    charts = [_coverage_of(backtest, nominal) for nominal in (NOMINAL_80, NOMINAL_95)]
    return "".join(charts) if any(each.coverage for each in backtest.judged) else "<p>No model was asked everywhere.</p>"


def _coverage_of(backtest: Backtest, nominal: float) -> str:
    lines = []
    for each in _ranked(backtest):
        if each.coverage is not None:
            inside = each.coverage.inside_80 if nominal == NOMINAL_80 else each.coverage.inside_95
            daily = each.coverage.over(DAY_S, inside)
            lines.append(_line(backtest, each, _times(each.coverage.at_s[-len(daily) :]), daily.tolist()))
    band = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": nominal - TOLERANCE, "y1": nominal + TOLERANCE}
    shape = {**band, "fillcolor": "rgba(5,150,105,.12)", "line": {"width": 0}}
    return chart(
        lines,
        f"coverage-{nominal * 100:.0f}",
        shapes=[shape],
        yaxis_title=f"inside the {nominal:.0%} interval",
        yaxis_tickformat=".0%",
    )


def regret_chart(backtest: Backtest) -> str:
    """Return what deciding on each model would have cost, split into its two parts."""
    from plotly.graph_objects import Bar  # noqa: PLC0415  slow to import

    ranked = sorted(backtest.judged, key=lambda each: each.regret.regret)
    names = [escape(each.name) for each in ranked]
    weight = LEVEL / (1.0 - LEVEL)
    over = [weight * each.regret.overload for each in ranked]
    idle = [each.regret.idle for each in ranked]
    bars = [
        Bar(name=f"overload x {weight:.0f}", x=names, y=over, marker_color=OVERLOAD),
        Bar(name="idle reserve", x=names, y=idle, marker_color=IDLE),
    ]
    return chart(bars, "regret", barmode="stack", bargap=0.35, yaxis_title="regret per message")


def fan_chart(fan: Fan, number: int) -> str:
    """Return one order param's actual rates over the quantiles that the champion said."""
    from plotly.graph_objects import Scatter  # noqa: PLC0415  slow to import

    times = _times(fan.at_s)
    traces = []
    for low, high, colour, name in BANDS:
        edges = [fan.values[:, LEVELS.index(level)].tolist() for level in (low, high)]
        hidden = {"x": times, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        traces += [
            Scatter(y=edges[0], showlegend=False, **hidden),
            Scatter(y=edges[1], fill="tonexty", fillcolor=colour, name=name, **hidden),
        ]
    median = fan.values[:, LEVELS.index(0.5)].tolist()
    traces.append(
        Scatter(x=times, y=median, name="median", mode="lines", line={"color": CHAMPION, "dash": "dot", "width": 1.2})
    )
    traces.append(Scatter(x=times, y=fan.actual.tolist(), name="actual", mode="lines", line={"color": ACTUAL, "width": 1.2}))
    title = f"<h3>{escape(fan.order_param)} <small>{fan.traffic_class}</small></h3>"
    return title + chart(traces, f"fan-{number}", height=300, yaxis_title="messages/s", yaxis_rangemode="tozero")


def _ranked(backtest: Backtest) -> list[Judgement]:
    return sorted(backtest.judged, key=lambda each: each.scores.wql)


def _line(backtest: Backtest, judged: Judgement, x: list[Any], y: list[Any], mode: str = "lines") -> Any:
    """Return a model's line: the champion's thick, the rivals' dotted."""
    from plotly.graph_objects import Scatter  # noqa: PLC0415  slow to import

    style = {
        "color": _colours(backtest)[judged.name],
        "width": 3 if judged is backtest.champion else 1.5,
        "dash": "dot" if judged.entrant.is_rival else "solid",
    }
    return Scatter(name=escape(judged.name), x=x, y=y, mode=mode, line=style, marker={"size": 5})


def _colours(backtest: Backtest) -> dict[str, str]:
    others = [each.name for each in backtest.judged if each is not backtest.champion]
    of_others = {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(others)}
    return {backtest.champion.name: CHAMPION, **of_others}


def _times(at_s: np.ndarray) -> list[str]:
    return [datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%d %H:%M") for each in at_s.tolist()]

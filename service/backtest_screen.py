"""What `plb backtest` shows people on the screen. Nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from service.backtest_report import events_words, finite, ratio_to_best_rival, settings_words, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from models.backtest_judge import Judgement
    from service.backtest_run import Outcome

COLUMNS = ("WQL", "of best rival", "CRPS", "MASE", "WAPE", "in 80 %", "in 95 %", "regret", "fit s", "predict ms")
CROWN = "★ "


def screen(outcome: Outcome) -> Iterator[RenderableType]:
    """Yield the verdict, the table of all models, and what sums and events say."""
    yield Text(verdict(outcome), "bold")
    yield Text(settings_words(outcome), "dim")
    yield Text("")
    yield _table(outcome)
    for name, why in outcome.backtest.left_out.items():
        yield Text(f"{name} took no part: {why}", "yellow")
    yield Text("")
    yield from (Text(words) for words in (*_sums(outcome), *events_words(outcome)))


def _table(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("model", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    champion = outcome.backtest.champion
    for judged in sorted(outcome.backtest.judged, key=lambda each: each.scores.wql):
        crowned = judged is champion
        label = Text(f"{CROWN if crowned else '  '}{judged.name}")
        table.add_row(label, *cells(judged, outcome), style="bold green" if crowned else "")
    return table


def cells(judged: Judgement, outcome: Outcome) -> list[str]:
    """Return the figures of one model, in the order of COLUMNS."""
    scores, ratio = judged.scores, ratio_to_best_rival(judged, outcome.backtest)
    return [
        f"{scores.wql:.4f}",
        "" if ratio is None else f"{ratio:.2f} x",
        f"{scores.crps:.4f}",
        "" if finite(scores.mase) is None else f"{scores.mase:.3f}",
        f"{scores.wape:.3f}",
        f"{scores.coverage_80:.1%}",
        f"{scores.coverage_95:.1%}",
        f"{judged.regret.regret:.3f}",
        f"{judged.fit_s:,.1f}",
        f"{judged.predict_ms:,.1f}",
    ]


def _sums(outcome: Outcome) -> Iterator[str]:
    """Yield what the largest sets say about adding quantiles."""
    rows = [row for row in outcome.backtest.sums.rows if row.level == 0.95]
    if rows:
        row = rows[-1]
        yield (
            f"A shard's p95 is not the sum of p95s: for {row.order_params} order params that sum is exceeded in "
            f"{row.added_exceeded:.1%} of cases and reserves {row.added_reserved:.2f} x what comes; pooled, "
            f"{row.pooled_exceeded:.1%} and {row.pooled_reserved:.2f} x."
        )

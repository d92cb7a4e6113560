"""What the mode `auto` comes to: forecast_only until the forecasts have proved themselves on this queue, then predictive.

They have proved themselves when, at the short horizon, one of these holds:
  - A champion serves that has learnt from a day of history or more. No network becomes champion unless it was at least as
    good as the baseline on the part of the history that was held out from it (docs/models.md).
  - For a day what was foreseen has been held against what came, by the champion or by the baseline where none serves, and
    nothing was found for which a champion would be demoted: worse than the seasonal naive, or intervals that do not hold.

Once they have, it is remembered. A champion that fails later is demoted, and decisions are made on what was measured; that
is no reason to stop relieving shards. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.control.forecast_quality import BASELINE, CHAMPION, VerdictRule, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.domain.champions import ChampionStanding

DAY_S = 86_400.0
SHORT, MEDIUM = "short", "medium"
RULE = VerdictRule(span_s=DAY_S)


def proof(standing: ChampionStanding, quality: Iterable[ForecastQuality]) -> str:
    """Return by what the forecasts have proved themselves, in words; empty if they have not yet."""
    if standing.serving and standing.learnt_s >= DAY_S:
        return "a champion serves that was at least as good as the baseline on held-out history"
    watched = _watched(standing, quality)
    if watched is None or not _long_enough(watched) or verdict(watched, RULE):
        return ""
    return f"for a day the {watched.forecaster}'s forecasts have held (loss {watched.loss:.3g} of what came)"


def what_is_missing(standing: ChampionStanding, quality: Iterable[ForecastQuality]) -> str:
    """Return what the forecasts lack, in words; only for those that have not proved themselves."""
    watched = _watched(standing, quality)
    if watched is None:
        return "no forecast could be held against what came yet"
    if _long_enough(watched):
        return f"the {watched.forecaster} of the last days is {verdict(watched, RULE) or 'not known well enough'}"
    hours = (watched.until_s - watched.since_s) / 3600
    return f"forecasts have been held against what came for {hours:.0f} of 24 hours ({watched.pairs} of {RULE.pairs} times)"


def _watched(standing: ChampionStanding, quality: Iterable[ForecastQuality]) -> ForecastQuality | None:
    """Return how good whoever serves has been."""
    wanted = CHAMPION if standing.serving else BASELINE
    return next((each for each in quality if (each.horizon, each.forecaster) == (SHORT, wanted)), None)


def _long_enough(quality: ForecastQuality) -> bool:
    return quality.pairs >= RULE.pairs and quality.until_s - quality.since_s >= RULE.span_s

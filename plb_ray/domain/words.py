"""Values in the words that sentences for operators use. Pure."""

from __future__ import annotations

DAY_S = 86_400.0


def in_words(seconds: float) -> str:
    """Return a length of time in the unit that people would use: 90 s, 15 min, 3.5 h, 7 days."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.3g} h" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.0f} days"

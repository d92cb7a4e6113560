"""Rows and goals as text."""

from __future__ import annotations

from dataclasses import MISSING, fields

LEADING = ("who", "seed", "status")


def table(rows) -> str:
    """Return rows as columns; those that no row has are left out."""
    names = [*LEADING, *dict.fromkeys(name for row in rows for name in row if name not in LEADING)]
    names = [name for name in names if any(row.get(name) is not None for row in rows)]
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def brief(recipe) -> str:
    """Return a recipe with only those fields that are not the default."""
    shown = [one.name for one in fields(recipe) if one.default is MISSING or getattr(recipe, one.name) != one.default]
    return ", ".join(f"{name} {getattr(recipe, name)}" for name in shown)


def verdicts(case, rows):
    """Return for each goal of a case its text, the measured figure (None: not measured), and whether it is met."""
    found = []
    for goal in case.goals:
        measured = goal.measured(rows)
        word = "not measured" if measured is None else "met" if goal.met(measured) else "MISSED"
        found.append({"goal": str(goal), "measured": measured, "verdict": word})
    return found


def goals_text(found) -> str:
    """Return verdicts as lines."""
    return "\n".join(f"  goal {one['goal']}: {_cell(one['measured'])}: {one['verdict']}" for one in found)


def _cell(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.4g}"
    return str(value)

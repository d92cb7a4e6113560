"""All checks, in the order in which they run: what is simple and what others build on first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.checks import (
    aborting,
    appending,
    bad_input,
    chaining,
    copying,
    delivering,
    faults,
    fencing,
    live,
    measuring,
    opening,
    pausing,
    placing,
    queue_migrating,
    returning,
    sealing,
    soft_pausing,
)
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.conformance.registry import Check

TABLES = (
    opening.TABLE,
    bad_input.TABLE,
    appending.TABLE,
    delivering.TABLE,
    pausing.TABLE,
    copying.TABLE,
    sealing.TABLE,
    soft_pausing.TABLE,
    fencing.TABLE,
    aborting.TABLE,
    aborting.DRAIN,
    returning.TABLE,
    chaining.TABLE,
    measuring.TABLE,
    live.TABLE,
    faults.TABLE,
    placing.TABLE,
    queue_migrating.TABLE,
)
GROUPS = tuple(table.group for table in TABLES)


def chosen(groups: Sequence[str] = ()) -> tuple[Check, ...]:
    """Return the checks of these groups, or single ones as "group/name"; none named: all.

    Raises:
        BadInputError: there is no such group or check.
    """
    everything = [check for table in TABLES for check in table.checks]
    known = {*GROUPS, *(f"{check.group}/{check.name}" for check in everything)}
    unknown = sorted(set(groups) - known)
    if unknown:
        raise BadInputError(f"no checks are called {', '.join(unknown)}; the groups are {', '.join(GROUPS)}")
    return tuple(check for check in everything if not groups or {check.group, f"{check.group}/{check.name}"} & set(groups))

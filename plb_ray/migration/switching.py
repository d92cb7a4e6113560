"""Changes of the mapping that migrations and recovery make, all by compare-and-set and each safe to repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.domain.mapping import Placement
from plb_ray.domain.migration import MigrationMode
from plb_ray.errors import StaleEpochError

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.ports import MappingPort


async def switch(mapping: MappingPort, record: MigrationRecord) -> Placement:
    """Let the destination of a migration take the appends, e -> e + 1; return what the mapping has afterwards.

    A copied backlog leaves the source, a chained one stays: then the source goes on to be read before the destination.
    """

    def shards(present: Placement) -> tuple[str, ...]:
        known = present.epoch == record.epoch
        stays = present.shards if record.mode is MigrationMode.CHAIN else present.shards[:-1]
        return (*stays, record.destination) if known else (record.destination,)

    return await _raised(mapping, Placement(record.order_param, (record.destination,), record.epoch + 1), shards)


async def advance(mapping: MappingPort, placement: Placement) -> Placement:
    """Bring the mapping up to a placement, from whatever older epoch it has; a newer one is left as it is.

    Returns:
        What the mapping has afterwards; the rotation is kept.
    """
    return await _raised(mapping, placement, lambda _: placement.shards)


async def _raised(mapping: MappingPort, wanted: Placement, shards: Callable[[Placement], tuple[str, ...]]) -> Placement:
    """Raise the epoch to that of `wanted`, with the shards that `shards` makes of the present placement."""
    while True:
        present = await mapping.create(wanted)
        if present.epoch >= wanted.epoch:
            return present
        raised = replace(wanted, shards=shards(present), rotation=present.rotation)
        try:
            return await mapping.compare_and_set(wanted.order_param, present.epoch, raised)
        except StaleEpochError:
            continue  # somebody was faster; look again

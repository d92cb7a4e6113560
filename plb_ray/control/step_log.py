"""The structured log of migrations: one line of key=value per step, on the logger "plb.migration".

    migration id=85-JFK-ATL step=sealed order_param=JFK-ATL from=shard-3 to=shard-4 mode=copy epoch=3 messages=412 ...

Keys stand in a fixed order; a value that holds a space, a quote, = or a control character is quoted as in JSON, so that one
record is always one line. What is not known is left out. A rollback is logged as a warning, everything else as information.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from plb_ray.domain.migration import MigrationStep

if TYPE_CHECKING:
    from plb_ray.domain.migration import MigrationRecord

LOG = logging.getLogger("plb.migration")


def log_step(record: MigrationRecord) -> None:
    """Log a record that is new: a step was reached, or a failure noted."""
    failed = bool(record.error) or record.step is MigrationStep.ABORTED
    fields = _fields(record)
    level = logging.WARNING if failed else logging.INFO
    LOG.log(level, "migration %s", key_values(fields), extra={"plb_fields": fields})


def key_values(fields: dict[str, object]) -> str:
    """Return fields as key=value; those that are None or empty are left out."""
    return " ".join(f"{key}={_value(value)}" for key, value in fields.items() if value is not None and value != "")


def _fields(record: MigrationRecord) -> dict[str, object]:
    return {
        "id": record.migration_id,
        "step": record.step.value,
        "order_param": record.order_param,
        "from": record.source,
        "to": record.destination,
        "mode": record.mode.value,
        "epoch": record.epoch,
        "messages": record.messages_copied,
        "bytes": record.bytes_copied,
        "lag": record.lag_messages,
        "pause_ms": record.pause_ms,
        "eta_s": record.eta_s,
        "elapsed_s": record.at_s - record.started_s if record.at_s else None,
        "reason": record.reason,
        "error": record.error,
    }


def _value(value: object) -> str:
    text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    bare = text.isprintable() and not any(each in text for each in ' "=\\')
    return text if bare else json.dumps(text, ensure_ascii=False)

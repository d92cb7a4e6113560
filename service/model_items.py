"""The versions of a forecaster as plain values: what `plb models` and the API show of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plb_ray.domain.events import utc_text
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from models.registry import VersionFolder
    from models.registry_entry import Entry


def champion_of(folder: VersionFolder) -> tuple[str | None, str]:
    """Return the version that serves, and why that cannot be told; None also then."""
    try:
        return folder.champion(), ""
    except NoForecastError as error:
        return None, str(error)


def version_items(name: str, horizon: str, folder: VersionFolder) -> list[dict[str, Any]]:
    """Return the versions, newest first; of one that cannot be read, why."""
    champion, _ = champion_of(folder)
    items = []
    for version in reversed(folder.versions()):
        item = {"group": name, "horizon": horizon, "version": version, "champion": version == champion}
        try:
            items.append(item | _described(folder.entry(version)))
        except NoForecastError as error:
            items.append(item | {"error": str(error)})
    return items


def _described(entry: Entry) -> dict[str, Any]:
    data = entry.data
    times = {name: utc_text(getattr(data, f"{name}_s")) for name in ("start", "learnt_until", "end")}
    return {
        "made_at": entry.made_at,
        "kind": entry.kind,
        "data": {**times, "step_s": data.step_s, "order_params": data.order_params, "digest": data.digest},
        "steps": {"step_s": entry.horizon.step_s, "steps": entry.horizon.steps},
        "metrics": entry.metrics,
        "seed": entry.seed,
        "training_s": entry.training_s,
        "training_key": entry.training_key,
        "code_version": entry.code_version,
    }

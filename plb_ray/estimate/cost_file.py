"""A cost model as bytes, and back: numbers as arrays in one zip (NumPy's npz), names and what they mean in a JSON manifest.

Nothing is pickled. Every array is checked by the zip's own checksums, and its length against the manifest, so a file that
was cut off or changed is a `BadInputError` and never a wrong cost. Covariances are kept as their upper triangles in single
precision, half a part in ten million off: 33 KB for a shard that has 128 order params told apart, for each of two resources.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plb_ray.errors import BadInputError
from plb_ray.estimate.apart import Apart, Block, Change
from plb_ray.estimate.cost import CostModel, Table
from plb_ray.estimate.group import GroupSums, Ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

SCHEMA = 1
_RATIOS = ("cpu", "amplification", "payload")
_TABLE = ("size_bytes", "size_messages", "served", "backlog_bytes")
_BLOCK = ("lean", "jumps", "off", "times", "news")
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class SavedCosts:
    """A cost model and the time up to which it has learned."""

    cost: CostModel
    at_s: float


def to_bytes(saved: SavedCosts) -> bytes:
    """Return the file of a cost model. Cost O(K + S B^2); a copy of all arrays in memory."""
    cost = saved.cost
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "at_s": saved.at_s,
        "half_life_s": cost.half_life_s,
        "memory_base_bytes": cost.memory_base_bytes,
        "order_params": list(cost.table.index),
        "groups": [asdict(group) for group in cost.groups],
        **{name: asdict(getattr(cost, name)) for name in _RATIOS},
    }
    arrays: Arrays = {name: getattr(cost.table, name) for name in _TABLE}
    manifest["apart"] = [_apart_out(apart, str(at), arrays) for at, apart in enumerate(cost.apart)]
    arrays["manifest"] = np.frombuffer(json.dumps(manifest).encode(), dtype=np.uint8)
    made = io.BytesIO()
    np.savez(made, allow_pickle=False, **arrays)
    return made.getvalue()


def from_bytes(content: bytes, what: str) -> SavedCosts:
    """Return what `to_bytes` was given.

    Raises:
        BadInputError: it is damaged, or of a newer plb-ray; `what` names it.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as kept:
            arrays: Arrays = {name: kept[name] for name in kept.files}
        manifest = json.loads(arrays["manifest"].tobytes())
        if manifest["schema"] > SCHEMA:
            raise BadInputError(f"{what}: it was written by a newer plb-ray (schema {manifest['schema']})")
        return SavedCosts(_model(manifest, arrays), float(manifest["at_s"]))
    except _DAMAGED as error:
        raise BadInputError(f"{what}: it is damaged: {error}") from error


def _model(manifest: dict[str, Any], arrays: Arrays) -> CostModel:
    names = manifest["order_params"]
    table = Table({name: row for row, name in enumerate(names)}, *(_sized(arrays[each], len(names)) for each in _TABLE))
    first, second = (GroupSums(**group) for group in manifest["groups"])
    cpu, io_ = (_apart_in(each, str(at), arrays, len(names)) for at, each in enumerate(manifest["apart"]))
    return CostModel(
        cpu=Ratio(**manifest["cpu"]),
        amplification=Ratio(**manifest["amplification"]),
        payload=Ratio(**manifest["payload"]),
        memory_base_bytes=manifest["memory_base_bytes"],
        half_life_s=manifest["half_life_s"],
        table=table,
        groups=(first, second),
        apart=(cpu, io_),
    )


def _apart_out(apart: Apart, prefix: str, arrays: Arrays) -> dict[str, Any]:
    """Return the part of the manifest that is about one resource, and put its arrays under a prefix."""
    blocks = list(apart.blocks.values())
    arrays[f"{prefix}.cost"], arrays[f"{prefix}.variance"] = apart.cost, apart.variance
    arrays[f"{prefix}.rows"] = _joined([block.rows for block in blocks], np.int64)
    triangles = [block.covariance[np.triu_indices(len(block.rows))] for block in blocks]
    arrays[f"{prefix}.covariance"] = _joined(triangles, np.float32)
    arrays[f"{prefix}.blocks"] = np.array(
        [(b.lean, b.jumps, b.off, b.change.times, b.change.news) for b in blocks], dtype=np.float64
    ).reshape(-1, len(_BLOCK))
    return {
        "shards": list(apart.blocks),
        "sizes": [len(block.rows) for block in blocks],
        "noise_sum": apart.noise_sum,
        "noise_weight": apart.noise_weight,
    }


def _apart_in(manifest: dict[str, Any], prefix: str, arrays: Arrays, order_params: int) -> Apart:
    sizes = np.array(manifest["sizes"], dtype=np.int64)
    rows = np.split(_sized(arrays[f"{prefix}.rows"], int(sizes.sum())), np.cumsum(sizes)[:-1])
    triangle_sizes = sizes * (sizes + 1) // 2
    flat = _sized(arrays[f"{prefix}.covariance"], int(triangle_sizes.sum()))
    triangles = np.split(flat, np.cumsum(triangle_sizes)[:-1])
    facts = _sized(arrays[f"{prefix}.blocks"], len(sizes))
    blocks = {
        shard_id: _block(rows[at], triangles[at], facts[at].tolist()) for at, shard_id in enumerate(manifest["shards"])
    }
    joined = np.concatenate([np.zeros(0, np.int64), *rows])
    if joined.size and not 0 <= joined.min() <= joined.max() < order_params:
        raise ValueError("a shard has order params that are not in the table")
    return Apart(
        _sized(arrays[f"{prefix}.cost"], order_params),
        _sized(arrays[f"{prefix}.variance"], order_params),
        blocks,
        manifest["noise_sum"],
        manifest["noise_weight"],
    )


def _block(rows: NDArray[np.int64], triangle: NDArray[np.float32], facts: list[float]) -> Block:
    covariance = np.zeros((len(rows), len(rows)))
    upper = np.triu_indices(len(rows))
    covariance[upper] = triangle
    covariance.T[upper] = triangle
    lean, jumps, off, times, news = facts
    return Block(rows, covariance, lean, int(jumps), off, Change(times, int(news)))


def _joined(parts: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *(part.astype(dtype) for part in parts)])


def _sized(values: NDArray[Any], length: int) -> NDArray[Any]:
    """Return values whose length is as expected and which are numbers. Raises ValueError."""
    if len(values) != length or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} values where {length} were expected, or no numbers")
    return values

"""Protobuf messages of plb.v1 <-> domain types, one pair of functions per type. Nothing else knows both.

`x_to_pb` and `x_from_pb` are inverse to each other, except where protobuf knows more (endpoints of a placement).
"""
# ruff: noqa: D103 - the module docstring describes every pair at once

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ResourceVector, Shard, ShardLoad
from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.domain.migration import MigrationMode, MigrationRecord, MigrationRequest, MigrationStep
from plb_ray.domain.samples import PushOutcome, SampleBatch, SampleKind, Series
from plb_ray.migration.ports import CopyProgress, OrderParamState, Ownership, ProducerState, SealRecord, SegmentState
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping as Dict

PROTOCOL_VERSION = 1
_KIND_TO_PB = {SampleKind.RATE: pb.SAMPLE_KIND_RATE, SampleKind.COUNTER: pb.SAMPLE_KIND_COUNTER}
_KIND_FROM_PB = {theirs: ours for ours, theirs in _KIND_TO_PB.items()}
_OUTCOME = {
    "new": "new_cells",
    "late": "late_cells",
    "duplicate": "duplicate_cells",
    "replaced": "replaced_cells",
    "too_late": "too_late_cells",
    "refused": "refused_samples",
    "repeated": "repeated_samples",
    "resets": "counter_resets",
}


def resources_to_pb(value: ResourceVector) -> pb.Resources:
    return pb.Resources(cpu_cores=value.cpu_cores, memory_bytes=value.memory_bytes, io_bytes_per_s=value.io_bytes_per_s)


def resources_from_pb(message: pb.Resources) -> ResourceVector:
    return ResourceVector(message.cpu_cores, message.memory_bytes, message.io_bytes_per_s)


def order_param_load_to_pb(value: OrderParamLoad) -> pb.OrderParamLoad:
    return pb.OrderParamLoad(**vars(value))


def order_param_load_from_pb(message: pb.OrderParamLoad) -> OrderParamLoad:
    return OrderParamLoad(
        order_param=message.order_param,
        epoch=message.epoch,
        messages_total=message.messages_total,
        bytes_total=message.bytes_total,
        consumed_total=message.consumed_total,
        backlog=message.backlog,
        backlog_bytes=message.backlog_bytes,
        oldest_age_s=message.oldest_age_s,
    )


def shard_load_to_pb(value: ShardLoad) -> pb.ShardLoad:
    return pb.ShardLoad(
        shard_id=value.shard_id,
        at_s=value.at_s,
        use=resources_to_pb(value.use),
        process_cpu_cores=value.process_cpu_cores,
        served_total=value.served_total,
        latency_p99_ms=value.latency_p99_ms,
        order_params=[order_param_load_to_pb(load) for load in value.order_params],
        cpu_core_s_total=value.cpu_core_s_total,
        io_bytes_total=value.io_bytes_total,
        segments=[order_param_load_to_pb(load) for load in value.segments],
    )


def shard_load_from_pb(message: pb.ShardLoad) -> ShardLoad:
    return ShardLoad(
        shard_id=message.shard_id,
        at_s=message.at_s,
        use=resources_from_pb(message.use),
        process_cpu_cores=message.process_cpu_cores,
        served_total=message.served_total,
        latency_p99_ms=message.latency_p99_ms,
        order_params=tuple(order_param_load_from_pb(load) for load in message.order_params),
        cpu_core_s_total=message.cpu_core_s_total,
        io_bytes_total=message.io_bytes_total,
        segments=tuple(map(order_param_load_from_pb, message.segments)),
    )


def snapshot_to_pb(value: LoadSnapshot) -> pb.LoadMetrics:
    shards = [shard_load_to_pb(load) for load in value.shards]
    return pb.LoadMetrics(at_s=value.at_s, shards=shards, missing=value.missing)


def snapshot_from_pb(message: pb.LoadMetrics) -> LoadSnapshot:
    return LoadSnapshot(message.at_s, tuple(map(shard_load_from_pb, message.shards)), dict(message.missing))


def shard_to_pb(value: Shard) -> pb.ShardInfo:
    capacity = resources_to_pb(value.capacity)
    return pb.ShardInfo(shard_id=value.shard_id, endpoint=value.endpoint, capacity=capacity, draining=value.draining)


def shard_from_pb(message: pb.ShardInfo) -> Shard:
    return Shard(message.shard_id, message.endpoint, resources_from_pb(message.capacity), message.draining)


def placement_to_pb(value: Placement, endpoints: Dict[str, str]) -> pb.Placement:
    """`endpoints`: shard id -> endpoint; a shard it does not know gets an empty one."""
    return pb.Placement(
        order_param=value.order_param,
        shards=value.shards,
        epoch=value.epoch,
        endpoints=[endpoints.get(shard, "") for shard in value.shards],
        rotation=value.rotation,
    )


def placement_from_pb(message: pb.Placement) -> Placement:
    return Placement(message.order_param, tuple(message.shards), message.epoch, tuple(message.rotation))


def mapping_to_pb(value: Mapping, endpoints: Dict[str, str]) -> pb.MappingUpdate:
    """Return the whole mapping as one complete update."""
    placements = [placement_to_pb(placement, endpoints) for placement in value.placements.values()]
    return pb.MappingUpdate(generation=value.generation, placements=placements, complete=True)


def mapping_from_pb(message: pb.MappingUpdate, before: Mapping | None = None) -> Mapping:
    """Return the mapping after an update; `before` is needed unless the update is complete."""
    kept = {} if message.complete or before is None else before.placements
    changed = {placement.order_param: placement_from_pb(placement) for placement in message.placements}
    return Mapping(message.generation, {**kept, **changed})


def step_to_pb(value: MigrationStep) -> pb.MigrationStep:
    return pb.MigrationStep.Value(f"MIGRATION_STEP_{value.name}")


def step_from_pb(value: pb.MigrationStep) -> MigrationStep:
    return MigrationStep[pb.MigrationStep.Name(value).removeprefix("MIGRATION_STEP_")]


def mode_to_pb(value: MigrationMode) -> pb.MigrationMode:
    return pb.MigrationMode.Value(f"MIGRATION_MODE_{value.name}")


def mode_from_pb(value: pb.MigrationMode) -> MigrationMode:
    """A mode that is not given, or not known here, is COPY: older peers know no other."""
    return MigrationMode.CHAIN if value == pb.MIGRATION_MODE_CHAIN else MigrationMode.COPY


def migration_request_to_pb(value: MigrationRequest) -> pb.MigrateOrderParamRequest:
    return pb.MigrateOrderParamRequest(
        order_param=value.order_param,
        source_shard=value.source,
        destination_shard=value.destination,
        request_id=value.request_id,
        reason=value.reason,
        mode=mode_to_pb(value.mode),
    )


def migration_request_from_pb(message: pb.MigrateOrderParamRequest) -> MigrationRequest:
    return MigrationRequest(
        request_id=message.request_id,
        order_param=message.order_param,
        source=message.source_shard,
        destination=message.destination_shard,
        reason=message.reason,
        mode=mode_from_pb(message.mode),
    )


def migration_to_pb(value: MigrationRecord) -> pb.Migration:
    return pb.Migration(**{**vars(value), "step": step_to_pb(value.step), "mode": mode_to_pb(value.mode)})


def migration_from_pb(message: pb.Migration) -> MigrationRecord:
    return MigrationRecord(
        migration_id=message.migration_id,
        order_param=message.order_param,
        source=message.source,
        destination=message.destination,
        epoch=message.epoch,
        step=step_from_pb(message.step),
        reason=message.reason,
        started_s=message.started_s,
        finished_s=message.finished_s if message.HasField("finished_s") else None,
        messages_copied=message.messages_copied,
        bytes_copied=message.bytes_copied,
        pause_ms=message.pause_ms if message.HasField("pause_ms") else None,
        error=message.error,
        mode=mode_from_pb(message.mode),
        at_s=message.at_s,
        lag_messages=message.lag_messages,
        eta_s=message.eta_s if message.HasField("eta_s") else None,
    )


def state_to_pb(value: OrderParamState) -> pb.OrderParamState:
    fields = {name: field for name, field in vars(value).items() if name not in ("ownership", "segments")}
    ownership = pb.OwnershipState.Value(f"OWNERSHIP_STATE_{value.ownership.name}")
    return pb.OrderParamState(state=ownership, segments=map(segment_to_pb, value.segments), **fields)


def state_from_pb(message: pb.OrderParamState) -> OrderParamState:
    return OrderParamState(
        order_param=message.order_param,
        ownership=Ownership[pb.OwnershipState.Name(message.state).removeprefix("OWNERSHIP_STATE_")],
        epoch=message.epoch,
        migration_id=message.migration_id,
        last_seq=message.last_seq,
        acked_seq=message.acked_seq,
        moved_to_shard=message.moved_to_shard,
        moved_to_endpoint=message.moved_to_endpoint,
        lease_left_ms=message.lease_left_ms,
        behind=message.behind,
        segments=tuple(map(segment_from_pb, message.segments)),
        soft=message.soft,
    )


def segment_to_pb(value: SegmentState) -> pb.SegmentState:
    return pb.SegmentState(**vars(value))


def segment_from_pb(message: pb.SegmentState) -> SegmentState:
    return SegmentState(message.epoch, message.first_seq, message.last_seq, message.acked_seq, message.front)


def seal_to_pb(value: SealRecord) -> pb.SealRecord:
    return pb.SealRecord(**{**vars(value), "producers": [pb.ProducerState(**vars(entry)) for entry in value.producers]})


def seal_from_pb(message: pb.SealRecord) -> SealRecord:
    return SealRecord(
        order_param=message.order_param,
        migration_id=message.migration_id,
        epoch=message.epoch,
        final_seq=message.final_seq,
        acked_seq=message.acked_seq,
        delivered_seq=message.delivered_seq,
        bytes_total=message.bytes_total,
        producers=tuple(ProducerState(entry.producer, entry.producer_seq, entry.seq) for entry in message.producers),
        chained=message.chained,
        behind=message.behind,
        holder=message.holder,
        hold_no=message.hold_no,
        after_epoch=message.after_epoch,
        after_endpoint=message.after_endpoint,
        tail=tuple(message.tail),
    )


def progress_to_pb(value: CopyProgress) -> pb.CopyProgress:
    return pb.CopyProgress(last_seq=value.last_seq, messages=value.messages, bytes=value.bytes, left=value.left)


def progress_from_pb(message: pb.CopyProgress) -> CopyProgress:
    return CopyProgress(message.last_seq, message.messages, message.bytes, message.left)


def capabilities_to_pb(shard_id: str, capacity: ResourceVector, service_rate_per_s: float) -> pb.Capabilities:
    """`service_rate_per_s`: messages per second; 0 if it is not capped."""
    return pb.Capabilities(
        shard_id=shard_id,
        protocol_version=PROTOCOL_VERSION,
        capacity=resources_to_pb(capacity),
        service_rate_per_s=service_rate_per_s,
    )


def samples_to_pb(value: SampleBatch) -> pb.PushSamplesRequest:
    series = [
        pb.SampleSeries(order_param=each.order_param, at_s=each.at_s.tolist(), values=each.values.tolist())
        for each in value.series
    ]
    return pb.PushSamplesRequest(kind=_KIND_TO_PB[value.kind], series=series)


def samples_from_pb(message: pb.PushSamplesRequest) -> SampleBatch:
    series = tuple(
        Series(each.order_param, np.array(each.at_s, dtype=np.float64), np.array(each.values, dtype=np.float64))
        for each in message.series
    )
    return SampleBatch(_KIND_FROM_PB.get(message.kind, SampleKind.RATE), series)


def push_outcome_to_pb(value: PushOutcome) -> pb.PushSamplesResponse:
    counts = {theirs: getattr(value, ours) for ours, theirs in _OUTCOME.items()}
    return pb.PushSamplesResponse(**counts, reasons=value.reasons)


def push_outcome_from_pb(message: pb.PushSamplesResponse) -> PushOutcome:
    counts = {ours: getattr(message, theirs) for ours, theirs in _OUTCOME.items()}
    return PushOutcome(**counts, reasons=tuple(message.reasons))

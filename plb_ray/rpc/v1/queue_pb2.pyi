from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SampleKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLE_KIND_UNSPECIFIED: _ClassVar[SampleKind]
    SAMPLE_KIND_RATE: _ClassVar[SampleKind]
    SAMPLE_KIND_COUNTER: _ClassVar[SampleKind]

class MigrationStep(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MIGRATION_STEP_UNSPECIFIED: _ClassVar[MigrationStep]
    MIGRATION_STEP_PREPARE: _ClassVar[MigrationStep]
    MIGRATION_STEP_PRECOPIED: _ClassVar[MigrationStep]
    MIGRATION_STEP_PAUSED: _ClassVar[MigrationStep]
    MIGRATION_STEP_SEALING: _ClassVar[MigrationStep]
    MIGRATION_STEP_SEALED: _ClassVar[MigrationStep]
    MIGRATION_STEP_ACTIVATING: _ClassVar[MigrationStep]
    MIGRATION_STEP_MAPPED: _ClassVar[MigrationStep]
    MIGRATION_STEP_DONE: _ClassVar[MigrationStep]
    MIGRATION_STEP_ABORTED: _ClassVar[MigrationStep]

class MigrationMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MIGRATION_MODE_UNSPECIFIED: _ClassVar[MigrationMode]
    MIGRATION_MODE_COPY: _ClassVar[MigrationMode]
    MIGRATION_MODE_CHAIN: _ClassVar[MigrationMode]

class OwnershipState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OWNERSHIP_STATE_NONE: _ClassVar[OwnershipState]
    OWNERSHIP_STATE_ACTIVE: _ClassVar[OwnershipState]
    OWNERSHIP_STATE_PAUSED: _ClassVar[OwnershipState]
    OWNERSHIP_STATE_SEALED: _ClassVar[OwnershipState]
    OWNERSHIP_STATE_IMPORTING: _ClassVar[OwnershipState]
SAMPLE_KIND_UNSPECIFIED: SampleKind
SAMPLE_KIND_RATE: SampleKind
SAMPLE_KIND_COUNTER: SampleKind
MIGRATION_STEP_UNSPECIFIED: MigrationStep
MIGRATION_STEP_PREPARE: MigrationStep
MIGRATION_STEP_PRECOPIED: MigrationStep
MIGRATION_STEP_PAUSED: MigrationStep
MIGRATION_STEP_SEALING: MigrationStep
MIGRATION_STEP_SEALED: MigrationStep
MIGRATION_STEP_ACTIVATING: MigrationStep
MIGRATION_STEP_MAPPED: MigrationStep
MIGRATION_STEP_DONE: MigrationStep
MIGRATION_STEP_ABORTED: MigrationStep
MIGRATION_MODE_UNSPECIFIED: MigrationMode
MIGRATION_MODE_COPY: MigrationMode
MIGRATION_MODE_CHAIN: MigrationMode
OWNERSHIP_STATE_NONE: OwnershipState
OWNERSHIP_STATE_ACTIVE: OwnershipState
OWNERSHIP_STATE_PAUSED: OwnershipState
OWNERSHIP_STATE_SEALED: OwnershipState
OWNERSHIP_STATE_IMPORTING: OwnershipState

class Resources(_message.Message):
    __slots__ = ("cpu_cores", "memory_bytes", "io_bytes_per_s")
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    IO_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    cpu_cores: float
    memory_bytes: float
    io_bytes_per_s: float
    def __init__(self, cpu_cores: _Optional[float] = ..., memory_bytes: _Optional[float] = ..., io_bytes_per_s: _Optional[float] = ...) -> None: ...

class OrderParamLoad(_message.Message):
    __slots__ = ("order_param", "epoch", "messages_total", "bytes_total", "consumed_total", "backlog", "backlog_bytes", "oldest_age_s")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AGE_S_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    epoch: int
    messages_total: int
    bytes_total: int
    consumed_total: int
    backlog: int
    backlog_bytes: int
    oldest_age_s: float
    def __init__(self, order_param: _Optional[str] = ..., epoch: _Optional[int] = ..., messages_total: _Optional[int] = ..., bytes_total: _Optional[int] = ..., consumed_total: _Optional[int] = ..., backlog: _Optional[int] = ..., backlog_bytes: _Optional[int] = ..., oldest_age_s: _Optional[float] = ...) -> None: ...

class ShardLoad(_message.Message):
    __slots__ = ("shard_id", "at_s", "use", "process_cpu_cores", "served_total", "latency_p99_ms", "order_params", "cpu_core_s_total", "io_bytes_total", "segments")
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    PROCESS_CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    SERVED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P99_MS_FIELD_NUMBER: _ClassVar[int]
    ORDER_PARAMS_FIELD_NUMBER: _ClassVar[int]
    CPU_CORE_S_TOTAL_FIELD_NUMBER: _ClassVar[int]
    IO_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    shard_id: str
    at_s: float
    use: Resources
    process_cpu_cores: float
    served_total: int
    latency_p99_ms: float
    order_params: _containers.RepeatedCompositeFieldContainer[OrderParamLoad]
    cpu_core_s_total: float
    io_bytes_total: float
    segments: _containers.RepeatedCompositeFieldContainer[OrderParamLoad]
    def __init__(self, shard_id: _Optional[str] = ..., at_s: _Optional[float] = ..., use: _Optional[_Union[Resources, _Mapping]] = ..., process_cpu_cores: _Optional[float] = ..., served_total: _Optional[int] = ..., latency_p99_ms: _Optional[float] = ..., order_params: _Optional[_Iterable[_Union[OrderParamLoad, _Mapping]]] = ..., cpu_core_s_total: _Optional[float] = ..., io_bytes_total: _Optional[float] = ..., segments: _Optional[_Iterable[_Union[OrderParamLoad, _Mapping]]] = ...) -> None: ...

class GetLoadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLoadMetricsRequest(_message.Message):
    __slots__ = ("shards",)
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    shards: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, shards: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchLoadMetricsRequest(_message.Message):
    __slots__ = ("shards", "interval_s")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    shards: _containers.RepeatedScalarFieldContainer[str]
    interval_s: float
    def __init__(self, shards: _Optional[_Iterable[str]] = ..., interval_s: _Optional[float] = ...) -> None: ...

class LoadMetrics(_message.Message):
    __slots__ = ("at_s", "shards", "missing")
    class MissingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    AT_S_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    at_s: float
    shards: _containers.RepeatedCompositeFieldContainer[ShardLoad]
    missing: _containers.ScalarMap[str, str]
    def __init__(self, at_s: _Optional[float] = ..., shards: _Optional[_Iterable[_Union[ShardLoad, _Mapping]]] = ..., missing: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("order_param", "shards", "epoch", "endpoints", "rotation")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    shards: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    rotation: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, order_param: _Optional[str] = ..., shards: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ..., endpoints: _Optional[_Iterable[str]] = ..., rotation: _Optional[_Iterable[str]] = ...) -> None: ...

class AllocateShardsRequest(_message.Message):
    __slots__ = ("order_param", "shards")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    shards: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, order_param: _Optional[str] = ..., shards: _Optional[_Iterable[str]] = ...) -> None: ...

class ResolveOrderParamRequest(_message.Message):
    __slots__ = ("order_param", "create")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    create: bool
    def __init__(self, order_param: _Optional[str] = ..., create: _Optional[bool] = ...) -> None: ...

class WatchAllocationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MappingUpdate(_message.Message):
    __slots__ = ("generation", "placements", "complete")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    generation: int
    placements: _containers.RepeatedCompositeFieldContainer[Placement]
    complete: bool
    def __init__(self, generation: _Optional[int] = ..., placements: _Optional[_Iterable[_Union[Placement, _Mapping]]] = ..., complete: _Optional[bool] = ...) -> None: ...

class ListShardsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ShardInfo(_message.Message):
    __slots__ = ("shard_id", "endpoint", "capacity", "draining")
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    shard_id: str
    endpoint: str
    capacity: Resources
    draining: bool
    def __init__(self, shard_id: _Optional[str] = ..., endpoint: _Optional[str] = ..., capacity: _Optional[_Union[Resources, _Mapping]] = ..., draining: _Optional[bool] = ...) -> None: ...

class ListShardsResponse(_message.Message):
    __slots__ = ("shards",)
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    shards: _containers.RepeatedCompositeFieldContainer[ShardInfo]
    def __init__(self, shards: _Optional[_Iterable[_Union[ShardInfo, _Mapping]]] = ...) -> None: ...

class SampleSeries(_message.Message):
    __slots__ = ("order_param", "at_s", "values")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    at_s: _containers.RepeatedScalarFieldContainer[float]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, order_param: _Optional[str] = ..., at_s: _Optional[_Iterable[float]] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class PushSamplesRequest(_message.Message):
    __slots__ = ("kind", "series")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    kind: SampleKind
    series: _containers.RepeatedCompositeFieldContainer[SampleSeries]
    def __init__(self, kind: _Optional[_Union[SampleKind, str]] = ..., series: _Optional[_Iterable[_Union[SampleSeries, _Mapping]]] = ...) -> None: ...

class PushSamplesResponse(_message.Message):
    __slots__ = ("new_cells", "late_cells", "duplicate_cells", "replaced_cells", "too_late_cells", "refused_samples", "repeated_samples", "counter_resets", "reasons")
    NEW_CELLS_FIELD_NUMBER: _ClassVar[int]
    LATE_CELLS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_CELLS_FIELD_NUMBER: _ClassVar[int]
    REPLACED_CELLS_FIELD_NUMBER: _ClassVar[int]
    TOO_LATE_CELLS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    REPEATED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    COUNTER_RESETS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    new_cells: int
    late_cells: int
    duplicate_cells: int
    replaced_cells: int
    too_late_cells: int
    refused_samples: int
    repeated_samples: int
    counter_resets: int
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, new_cells: _Optional[int] = ..., late_cells: _Optional[int] = ..., duplicate_cells: _Optional[int] = ..., replaced_cells: _Optional[int] = ..., too_late_cells: _Optional[int] = ..., refused_samples: _Optional[int] = ..., repeated_samples: _Optional[int] = ..., counter_resets: _Optional[int] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class MigrateOrderParamRequest(_message.Message):
    __slots__ = ("order_param", "source_shard", "destination_shard", "request_id", "reason", "mode")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    SOURCE_SHARD_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_SHARD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    source_shard: str
    destination_shard: str
    request_id: str
    reason: str
    mode: MigrationMode
    def __init__(self, order_param: _Optional[str] = ..., source_shard: _Optional[str] = ..., destination_shard: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ..., mode: _Optional[_Union[MigrationMode, str]] = ...) -> None: ...

class Migration(_message.Message):
    __slots__ = ("migration_id", "order_param", "source", "destination", "epoch", "step", "reason", "started_s", "finished_s", "messages_copied", "bytes_copied", "pause_ms", "error", "mode", "at_s", "lag_messages", "eta_s")
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STARTED_S_FIELD_NUMBER: _ClassVar[int]
    FINISHED_S_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_COPIED_FIELD_NUMBER: _ClassVar[int]
    BYTES_COPIED_FIELD_NUMBER: _ClassVar[int]
    PAUSE_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    LAG_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ETA_S_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    order_param: str
    source: str
    destination: str
    epoch: int
    step: MigrationStep
    reason: str
    started_s: float
    finished_s: float
    messages_copied: int
    bytes_copied: int
    pause_ms: float
    error: str
    mode: MigrationMode
    at_s: float
    lag_messages: int
    eta_s: float
    def __init__(self, migration_id: _Optional[str] = ..., order_param: _Optional[str] = ..., source: _Optional[str] = ..., destination: _Optional[str] = ..., epoch: _Optional[int] = ..., step: _Optional[_Union[MigrationStep, str]] = ..., reason: _Optional[str] = ..., started_s: _Optional[float] = ..., finished_s: _Optional[float] = ..., messages_copied: _Optional[int] = ..., bytes_copied: _Optional[int] = ..., pause_ms: _Optional[float] = ..., error: _Optional[str] = ..., mode: _Optional[_Union[MigrationMode, str]] = ..., at_s: _Optional[float] = ..., lag_messages: _Optional[int] = ..., eta_s: _Optional[float] = ...) -> None: ...

class MigrationTimeline(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Migration]
    def __init__(self, records: _Optional[_Iterable[_Union[Migration, _Mapping]]] = ...) -> None: ...

class GetMigrationRequest(_message.Message):
    __slots__ = ("migration_id",)
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    def __init__(self, migration_id: _Optional[str] = ...) -> None: ...

class ListMigrationsRequest(_message.Message):
    __slots__ = ("active_only", "limit")
    ACTIVE_ONLY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    active_only: bool
    limit: int
    def __init__(self, active_only: _Optional[bool] = ..., limit: _Optional[int] = ...) -> None: ...

class ListMigrationsResponse(_message.Message):
    __slots__ = ("migrations",)
    MIGRATIONS_FIELD_NUMBER: _ClassVar[int]
    migrations: _containers.RepeatedCompositeFieldContainer[Migration]
    def __init__(self, migrations: _Optional[_Iterable[_Union[Migration, _Mapping]]] = ...) -> None: ...

class CancelMigrationRequest(_message.Message):
    __slots__ = ("migration_id",)
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    def __init__(self, migration_id: _Optional[str] = ...) -> None: ...

class ProducerState(_message.Message):
    __slots__ = ("producer", "producer_seq", "seq")
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_SEQ_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    producer: str
    producer_seq: int
    seq: int
    def __init__(self, producer: _Optional[str] = ..., producer_seq: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class SegmentState(_message.Message):
    __slots__ = ("epoch", "first_seq", "last_seq", "acked_seq", "front")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    FRONT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    first_seq: int
    last_seq: int
    acked_seq: int
    front: bool
    def __init__(self, epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., acked_seq: _Optional[int] = ..., front: _Optional[bool] = ...) -> None: ...

class OrderParamState(_message.Message):
    __slots__ = ("order_param", "state", "epoch", "migration_id", "last_seq", "acked_seq", "moved_to_shard", "moved_to_endpoint", "lease_left_ms", "behind", "segments", "soft")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    MOVED_TO_SHARD_FIELD_NUMBER: _ClassVar[int]
    MOVED_TO_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    LEASE_LEFT_MS_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SOFT_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    state: OwnershipState
    epoch: int
    migration_id: str
    last_seq: int
    acked_seq: int
    moved_to_shard: str
    moved_to_endpoint: str
    lease_left_ms: float
    behind: bool
    segments: _containers.RepeatedCompositeFieldContainer[SegmentState]
    soft: bool
    def __init__(self, order_param: _Optional[str] = ..., state: _Optional[_Union[OwnershipState, str]] = ..., epoch: _Optional[int] = ..., migration_id: _Optional[str] = ..., last_seq: _Optional[int] = ..., acked_seq: _Optional[int] = ..., moved_to_shard: _Optional[str] = ..., moved_to_endpoint: _Optional[str] = ..., lease_left_ms: _Optional[float] = ..., behind: _Optional[bool] = ..., segments: _Optional[_Iterable[_Union[SegmentState, _Mapping]]] = ..., soft: _Optional[bool] = ...) -> None: ...

class GetCapabilitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("shard_id", "protocol_version", "capacity", "service_rate_per_s")
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_RATE_PER_S_FIELD_NUMBER: _ClassVar[int]
    shard_id: str
    protocol_version: int
    capacity: Resources
    service_rate_per_s: float
    def __init__(self, shard_id: _Optional[str] = ..., protocol_version: _Optional[int] = ..., capacity: _Optional[_Union[Resources, _Mapping]] = ..., service_rate_per_s: _Optional[float] = ...) -> None: ...

class OrderParamRequest(_message.Message):
    __slots__ = ("order_param",)
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    def __init__(self, order_param: _Optional[str] = ...) -> None: ...

class ListOrderParamStatesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("order_param", "epoch")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    epoch: int
    def __init__(self, order_param: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ("order_param", "migration_id", "epoch", "lease_ms", "soft")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    SOFT_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    epoch: int
    lease_ms: int
    soft: bool
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., lease_ms: _Optional[int] = ..., soft: _Optional[bool] = ...) -> None: ...

class CopyBacklogRequest(_message.Message):
    __slots__ = ("order_param", "migration_id", "epoch", "source_endpoint", "chunk_messages")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    epoch: int
    source_endpoint: str
    chunk_messages: int
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., source_endpoint: _Optional[str] = ..., chunk_messages: _Optional[int] = ...) -> None: ...

class CopyProgress(_message.Message):
    __slots__ = ("last_seq", "messages", "bytes", "left")
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    last_seq: int
    messages: int
    bytes: int
    left: int
    def __init__(self, last_seq: _Optional[int] = ..., messages: _Optional[int] = ..., bytes: _Optional[int] = ..., left: _Optional[int] = ...) -> None: ...

class BeginRequest(_message.Message):
    __slots__ = ("order_param", "migration_id", "epoch")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    epoch: int
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class AdvanceRequest(_message.Message):
    __slots__ = ("order_param", "epoch", "hold_no", "holder")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HOLD_NO_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    epoch: int
    hold_no: int
    holder: str
    def __init__(self, order_param: _Optional[str] = ..., epoch: _Optional[int] = ..., hold_no: _Optional[int] = ..., holder: _Optional[str] = ...) -> None: ...

class SealRequest(_message.Message):
    __slots__ = ("order_param", "migration_id", "epoch", "destination_shard", "destination_endpoint", "chained", "tail_after_seq")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_SHARD_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CHAINED_FIELD_NUMBER: _ClassVar[int]
    TAIL_AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    epoch: int
    destination_shard: str
    destination_endpoint: str
    chained: bool
    tail_after_seq: int
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., destination_shard: _Optional[str] = ..., destination_endpoint: _Optional[str] = ..., chained: _Optional[bool] = ..., tail_after_seq: _Optional[int] = ...) -> None: ...

class SealRecord(_message.Message):
    __slots__ = ("order_param", "migration_id", "epoch", "final_seq", "acked_seq", "delivered_seq", "bytes_total", "producers", "chained", "behind", "holder", "hold_no", "after_epoch", "after_endpoint", "tail")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FINAL_SEQ_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_SEQ_FIELD_NUMBER: _ClassVar[int]
    BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    PRODUCERS_FIELD_NUMBER: _ClassVar[int]
    CHAINED_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    HOLD_NO_FIELD_NUMBER: _ClassVar[int]
    AFTER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    AFTER_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    epoch: int
    final_seq: int
    acked_seq: int
    delivered_seq: int
    bytes_total: int
    producers: _containers.RepeatedCompositeFieldContainer[ProducerState]
    chained: bool
    behind: bool
    holder: str
    hold_no: int
    after_epoch: int
    after_endpoint: str
    tail: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., final_seq: _Optional[int] = ..., acked_seq: _Optional[int] = ..., delivered_seq: _Optional[int] = ..., bytes_total: _Optional[int] = ..., producers: _Optional[_Iterable[_Union[ProducerState, _Mapping]]] = ..., chained: _Optional[bool] = ..., behind: _Optional[bool] = ..., holder: _Optional[str] = ..., hold_no: _Optional[int] = ..., after_epoch: _Optional[int] = ..., after_endpoint: _Optional[str] = ..., tail: _Optional[_Iterable[bytes]] = ...) -> None: ...

class UpdateMappingRequest(_message.Message):
    __slots__ = ("order_param", "epoch", "shard_id", "endpoint")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    epoch: int
    shard_id: str
    endpoint: str
    def __init__(self, order_param: _Optional[str] = ..., epoch: _Optional[int] = ..., shard_id: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("order_param", "migration_id", "sealed")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    sealed: SealRecord
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ..., sealed: _Optional[_Union[SealRecord, _Mapping]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("order_param", "migration_id", "chunk_messages")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    CHUNK_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    chunk_messages: int
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ..., chunk_messages: _Optional[int] = ...) -> None: ...

class DrainProgress(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class AbortRequest(_message.Message):
    __slots__ = ("order_param", "migration_id")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("seq", "producer", "producer_seq", "payload", "appended_s")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_SEQ_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    APPENDED_S_FIELD_NUMBER: _ClassVar[int]
    seq: int
    producer: str
    producer_seq: int
    payload: bytes
    appended_s: float
    def __init__(self, seq: _Optional[int] = ..., producer: _Optional[str] = ..., producer_seq: _Optional[int] = ..., payload: _Optional[bytes] = ..., appended_s: _Optional[float] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("first_seq", "producers", "producer", "producer_seqs", "appended_s", "sizes", "payloads")
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    PRODUCERS_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_SEQS_FIELD_NUMBER: _ClassVar[int]
    APPENDED_S_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    first_seq: int
    producers: _containers.RepeatedScalarFieldContainer[str]
    producer: _containers.RepeatedScalarFieldContainer[int]
    producer_seqs: _containers.RepeatedScalarFieldContainer[int]
    appended_s: _containers.RepeatedScalarFieldContainer[float]
    sizes: _containers.RepeatedScalarFieldContainer[int]
    payloads: bytes
    def __init__(self, first_seq: _Optional[int] = ..., producers: _Optional[_Iterable[str]] = ..., producer: _Optional[_Iterable[int]] = ..., producer_seqs: _Optional[_Iterable[int]] = ..., appended_s: _Optional[_Iterable[float]] = ..., sizes: _Optional[_Iterable[int]] = ..., payloads: _Optional[bytes] = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("order_param", "epoch", "producer", "first_producer_seq", "payloads")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    FIRST_PRODUCER_SEQ_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    epoch: int
    producer: str
    first_producer_seq: int
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, order_param: _Optional[str] = ..., epoch: _Optional[int] = ..., producer: _Optional[str] = ..., first_producer_seq: _Optional[int] = ..., payloads: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("last_seq", "duplicate")
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    last_seq: int
    duplicate: bool
    def __init__(self, last_seq: _Optional[int] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class PollRequest(_message.Message):
    __slots__ = ("consumer", "order_params", "max_messages", "wait_ms", "redeliver", "holds", "max_in_flight")
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    ORDER_PARAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    REDELIVER_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    consumer: str
    order_params: _containers.RepeatedScalarFieldContainer[str]
    max_messages: int
    wait_ms: int
    redeliver: bool
    holds: _containers.RepeatedCompositeFieldContainer[Hold]
    max_in_flight: int
    def __init__(self, consumer: _Optional[str] = ..., order_params: _Optional[_Iterable[str]] = ..., max_messages: _Optional[int] = ..., wait_ms: _Optional[int] = ..., redeliver: _Optional[bool] = ..., holds: _Optional[_Iterable[_Union[Hold, _Mapping]]] = ..., max_in_flight: _Optional[int] = ...) -> None: ...

class Hold(_message.Message):
    __slots__ = ("order_param", "hold_no")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    HOLD_NO_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    hold_no: int
    def __init__(self, order_param: _Optional[str] = ..., hold_no: _Optional[int] = ...) -> None: ...

class DeliveredBatch(_message.Message):
    __slots__ = ("order_param", "epoch", "messages", "hold_no", "behind", "followed", "acked_seq")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    HOLD_NO_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    FOLLOWED_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    epoch: int
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    hold_no: int
    behind: bool
    followed: bool
    acked_seq: int
    def __init__(self, order_param: _Optional[str] = ..., epoch: _Optional[int] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., hold_no: _Optional[int] = ..., behind: _Optional[bool] = ..., followed: _Optional[bool] = ..., acked_seq: _Optional[int] = ...) -> None: ...

class PollResponse(_message.Message):
    __slots__ = ("batches", "lease_ms")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[DeliveredBatch]
    lease_ms: int
    def __init__(self, batches: _Optional[_Iterable[_Union[DeliveredBatch, _Mapping]]] = ..., lease_ms: _Optional[int] = ...) -> None: ...

class AckRequest(_message.Message):
    __slots__ = ("order_param", "epoch", "up_to_seq", "consumer")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    UP_TO_SEQ_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    epoch: int
    up_to_seq: int
    consumer: str
    def __init__(self, order_param: _Optional[str] = ..., epoch: _Optional[int] = ..., up_to_seq: _Optional[int] = ..., consumer: _Optional[str] = ...) -> None: ...

class AckResponse(_message.Message):
    __slots__ = ("acked_seq",)
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    acked_seq: int
    def __init__(self, acked_seq: _Optional[int] = ...) -> None: ...

class NackRequest(_message.Message):
    __slots__ = ("order_param", "epoch", "seq", "consumer", "delay_ms")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    epoch: int
    seq: int
    consumer: str
    delay_ms: int
    def __init__(self, order_param: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., consumer: _Optional[str] = ..., delay_ms: _Optional[int] = ...) -> None: ...

class AppendManyRequest(_message.Message):
    __slots__ = ("appends",)
    APPENDS_FIELD_NUMBER: _ClassVar[int]
    appends: _containers.RepeatedCompositeFieldContainer[AppendRequest]
    def __init__(self, appends: _Optional[_Iterable[_Union[AppendRequest, _Mapping]]] = ...) -> None: ...

class AppendOutcome(_message.Message):
    __slots__ = ("ok", "error")
    OK_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ok: AppendResponse
    error: bytes
    def __init__(self, ok: _Optional[_Union[AppendResponse, _Mapping]] = ..., error: _Optional[bytes] = ...) -> None: ...

class AppendManyResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[AppendOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[AppendOutcome, _Mapping]]] = ...) -> None: ...

class AckManyRequest(_message.Message):
    __slots__ = ("acks",)
    ACKS_FIELD_NUMBER: _ClassVar[int]
    acks: _containers.RepeatedCompositeFieldContainer[AckRequest]
    def __init__(self, acks: _Optional[_Iterable[_Union[AckRequest, _Mapping]]] = ...) -> None: ...

class AckOutcome(_message.Message):
    __slots__ = ("ok", "error")
    OK_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ok: AckResponse
    error: bytes
    def __init__(self, ok: _Optional[_Union[AckResponse, _Mapping]] = ..., error: _Optional[bytes] = ...) -> None: ...

class AckManyResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[AckOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[AckOutcome, _Mapping]]] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("order_param", "after_seq", "chunk_messages", "migration_id")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    CHUNK_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    after_seq: int
    chunk_messages: int
    migration_id: str
    def __init__(self, order_param: _Optional[str] = ..., after_seq: _Optional[int] = ..., chunk_messages: _Optional[int] = ..., migration_id: _Optional[str] = ...) -> None: ...

class MessageChunk(_message.Message):
    __slots__ = ("blocks", "last_seq", "acked_seq")
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    last_seq: int
    acked_seq: int
    def __init__(self, blocks: _Optional[_Iterable[bytes]] = ..., last_seq: _Optional[int] = ..., acked_seq: _Optional[int] = ...) -> None: ...

class ImportChunk(_message.Message):
    __slots__ = ("order_param", "migration_id", "epoch", "blocks")
    ORDER_PARAM_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    order_param: str
    migration_id: str
    epoch: int
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, order_param: _Optional[str] = ..., migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., blocks: _Optional[_Iterable[bytes]] = ...) -> None: ...

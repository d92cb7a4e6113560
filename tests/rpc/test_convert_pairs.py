"""Each pair of conversions is inverse to each other."""

import pytest

from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ResourceVector, Shard, ShardLoad
from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.domain.migration import MigrationRecord, MigrationRequest, MigrationStep
from plb_ray.domain.samples import PushOutcome
from plb_ray.migration.ports import CopyProgress, OrderParamState, Ownership, ProducerState, SealRecord
from plb_ray.rpc import convert

LOAD = ShardLoad(
    "shard-0",
    5.5,
    ResourceVector(0.5, 1e9, 1e6),
    0.25,
    77,
    1.5,
    (OrderParamLoad("K", 3, 10, 1000, 4, 6, 600, 2.5),),
    8.5,
    9e6,
)
RECORD = MigrationRecord("m", "K", "a", "b", 3, MigrationStep.SEALED, "why", 1.0, 2.0, 5, 50, 7.5, "oops")
SEAL = SealRecord("K", "m", 4, 9, 4, 6, 90, (ProducerState("p", 5, 9),))
STATE = OrderParamState("K", Ownership.PAUSED, 3, "m", 9, 4, "b", "host:1", 12.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resources", ResourceVector(1.0, 2.0, 3.0)),
        ("shard_load", LOAD),
        ("snapshot", LoadSnapshot(6.0, (LOAD,), {"shard-1": "does not answer"})),
        ("shard", Shard("shard-0", "host:1", ResourceVector(1.0, 2.0, 3.0), draining=True)),
        ("migration_request", MigrationRequest("r", "K", "a", "b", "why")),
        ("migration", RECORD),
        ("migration", MigrationRecord("m", "K", "a", "b", 3, MigrationStep.PREPARE, "", 1.0)),
        ("state", STATE),
        ("seal", SEAL),
        ("progress", CopyProgress(9, 5, 50)),
        ("push_outcome", PushOutcome(1, 2, 3, 4, 5, 6, 7, 8, ("why", "and why"))),
    ],
)
def test_there_and_back(name, value):
    """What goes to protobuf and comes back is the same."""
    to_pb, from_pb = getattr(convert, f"{name}_to_pb"), getattr(convert, f"{name}_from_pb")
    assert from_pb(to_pb(value)) == value


@pytest.mark.parametrize("step", MigrationStep)
def test_steps(step):
    """Every step has its number."""
    assert convert.step_from_pb(convert.step_to_pb(step)) is step


@pytest.mark.parametrize("state", [state for state in Ownership if state is not Ownership.TRAILING])  # never an own record's
def test_states(state):
    """Every state of ownership has its number."""
    value = OrderParamState("K", state, 1)
    assert convert.state_from_pb(convert.state_to_pb(value)) == value


def test_placements_carry_endpoints():
    """A placement tells where its shards listen, in their order, and an unknown shard gets an empty endpoint."""
    placement = Placement("K", ("a", "b"), 3)
    message = convert.placement_to_pb(placement, {"b": "host-b:1"})
    assert list(message.endpoints) == ["", "host-b:1"]
    assert convert.placement_from_pb(message) == placement


def test_mapping_updates_add_up():
    """A complete update replaces the mapping, a partial one changes what it names."""
    whole = Mapping(4, {"K": Placement("K", ("a",), 1), "L": Placement("L", ("b",), 1)})
    update = convert.mapping_to_pb(whole, {})
    assert convert.mapping_from_pb(update) == whole
    change = convert.mapping_to_pb(Mapping(5, {"K": Placement("K", ("b",), 2)}), {})
    change.complete = False
    after = convert.mapping_from_pb(change, whole)
    assert (after.generation, after.placements["K"].epoch, after.placements["L"].epoch) == (5, 2, 1)

from __future__ import annotations

import json

import pytest

from tests.chaos.cases import BOUNDARIES, CRASHES, ROLES, Case, all_cases
from tests.chaos.evidence import Evidence
from tests.chaos.network import Proxies
from tests.chaos.runs import run_case
from tests.chaos.stage import Stage

shards = pytest.mark.shards
pytestmark = pytest.mark.timeout(240)
SEED = 1
NAMES = {case.name: case for case in all_cases()}


async def ran(folder, names, network=None):
    """Run cases on one stage and return their outcomes."""
    stage = Stage(folder, network)
    try:
        await stage.start()
        return [await run_case(stage, NAMES[name], number, SEED) for number, name in enumerate(names)]
    finally:
        await stage.close()


def assert_clean(outcomes):
    assert {one.case: one.violations for one in outcomes if one.violations} == {}


@shards
@pytest.mark.parametrize(
    "names",
    [
        [
            "clean/copy",
            "balancer/copy/balancer/gone/source.pause/after",
            "balancer/copy/balancer/zombie/source.seal/before",
            "destination/copy/destination/kill/destination.resume/before",
            "producer/copy/producer/kill/source.pause/after",
            "power cut/copy/balancer+source+destination/kill/source.seal/after",
        ],
        [
            "clean/chain",
            "balancer/chain/balancer/gone/source.seal/after",
            "source/chain/source/kill/source.seal/after",
            "destination/chain/destination/restart/source.pause/after",
            "consumer/chain/consumer/zombie/destination.resume/after",
        ],
    ],
    ids=["copy", "chain"],
)
async def test_crashes_around_the_commit_point(tmp_path, names):
    """Each role killed or stopped around SEAL, in both modes: order kept, nothing lost, one owner, served again in time."""
    assert_clean(await ran(tmp_path / "stage", names))


@shards
async def test_rare_faults(tmp_path):
    """A full disk, a jumping clock, a late seal, a way back, two balancers and a refused migration break no promise."""
    names = [
        "disk full/copy/balancer/full/source.pause/after",
        "disk full/chain/source/full/source.seal/before",
        "clock jump/chain/balancer/behind/source.seal/before",
        "late seal/copy",
        "same shard/copy",
        "to and fro/mixed",
        "two balancers/mixed",
    ]
    assert_clean(await ran(tmp_path / "stage", names))


@shards
async def test_partitions_and_slow_network(tmp_path):
    """A destination cut off for longer than the leases, and a slow network, break no promise."""
    names = [
        "slow/copy/proxy/slow-20ms/journal.write[prepare]/after",
        "partition/chain/proxy/destination/isolated-long/source.seal/after",
    ]
    outcomes = await ran(tmp_path / "stage", names, Proxies())
    assert_clean(outcomes)


@shards
async def test_unreached_boundary_is_a_failure(tmp_path, monkeypatch):
    """A case whose boundary the protocol never passes fails, so that the matrix cannot quietly test nothing."""
    case = Case("balancer", "copy", "source.begin/after", "balancer", "kill")
    monkeypatch.setitem(NAMES, case.name, case)
    (outcome,) = await ran(tmp_path / "stage", [case.name])
    assert any("never reached" in violation for violation in outcome.violations)


def test_matrix_is_complete():
    """Every role meets every crash at every boundary of both modes."""
    for mode, boundaries in BOUNDARIES.items():
        for where in boundaries:
            for role in ROLES:
                assert {f"{role}/{mode}/{role}/{fault}/{where}" for fault in CRASHES} <= NAMES.keys()
            assert f"balancer/{mode}/balancer/gone/{where}" in NAMES


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def evidence(folder, appended, *consumed):
    """Return the evidence of one producer and of consumers, each with its (sequence, time) pairs."""
    found = Evidence(folder)
    written(found.producer_file(1), *appended)
    for number, messages in enumerate(consumed):
        written(found.consumer_file(number), *(("x", seq, "p", seq, at_s) for seq, at_s in messages))
    return found


ACKED = [("x", 2, 2, "shard-0", 1, 0.0, 0.1), ("x", 3, 1, "shard-1", 2, 0.2, 0.3)]


@pytest.mark.parametrize(
    ("consumed", "clean", "redelivered"),
    [
        ([[(1, 1.0), (2, 1.1), (3, 1.2)]], True, 0),
        ([[(1, 1.0), (2, 1.1)], [(2, 1.2), (3, 1.3)]], True, 1),  # another incarnation is given 2 again
        ([[(1, 1.0), (2, 1.1)]], False, 0),  # 3 is lost
        ([[(1, 1.0), (3, 1.1), (2, 1.2)]], False, 0),  # out of order
        ([[(1, 1.0), (2, 1.1), (2, 1.2), (3, 1.3)]], False, 0),  # twice to the same incarnation
        ([[(1, 1.0)], [(3, 1.2)], [(2, 1.3)]], False, 0),  # one incarnation runs ahead of another
    ],
)
def test_evidence_is_judged(tmp_path, consumed, clean, redelivered):
    """Loss, disorder and doubles within one incarnation are violations; a redelivery to the next incarnation is counted."""
    verdict, again = evidence(tmp_path, ACKED, *consumed).verdict("x")
    assert (verdict.clean, again) == (clean, redelivered)


def test_two_owners_are_seen(tmp_path):
    """Two shards that acknowledge appends under one epoch are a violation."""
    acked = [ACKED[0], ("x", 3, 1, "shard-1", 1, 0.2, 0.3)]
    verdict, _ = evidence(tmp_path, acked, [(1, 1.0), (2, 1.1), (3, 1.2)]).verdict("x")
    assert not verdict.clean

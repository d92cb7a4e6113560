"""The embedded shard and the coordinator conform: real processes, real gRPC."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from plb_ray.conformance.catalogue import GROUPS, chosen
from plb_ray.conformance.outcome import Status
from tests.conformance.kit import LEASE_S, failed, run_kit, served_shards
from tests.coordinator.live_queue import live_queue

ROOT = Path(__file__).parents[2]


@pytest.mark.shards
@pytest.mark.timeout(300)
async def test_the_embedded_shard_and_the_coordinator_conform(tmp_path):
    """Two shard processes and QueueControl over them pass every check, and are left clean; only the faults are skipped."""
    async with live_queue(tmp_path, consumer_lease_s=LEASE_S) as live:
        shards = [shard.process.endpoint for shard in live.shards.values()]
        report = await run_kit([*shards, live.endpoint])
    assert not failed(report)
    assert {result.group for result in report.results if result.status is Status.SKIPPED} == {"faults"}
    assert not report.left


@pytest.mark.shards
@pytest.mark.timeout(300)
async def test_the_embedded_shard_conforms_when_it_is_killed(tmp_path):
    """Shards that are killed and restarted at the boundaries of the steps pass all checks of faults."""
    endpoints = [_standalone("start", tmp_path, shard_id) for shard_id in ("s0", "s1")]
    command = f"env PYTHONPATH={shlex.quote(str(ROOT))} {shlex.join(_script('restart', tmp_path, '{shard_id}'))}"
    try:
        report = await run_kit(endpoints, "faults", restart_command=command)
    finally:
        for shard_id in ("s0", "s1"):
            _standalone("kill", tmp_path, shard_id)
    assert not failed(report)
    assert report.count(Status.PASSED) == len(chosen(["faults"]))
    assert not report.left


async def test_whole_shards_in_this_process_conform(tmp_path):
    """What the broken shards are made of passes everything that they are judged by."""
    groups = [group for group in GROUPS if not group.startswith(("queue", "traffic", "faults"))]
    async with served_shards(tmp_path) as endpoints:
        report = await run_kit(endpoints, *groups)
    assert not failed(report)
    assert report.count(Status.SKIPPED) == 0


async def test_one_shard_is_enough_for_what_needs_no_other(tmp_path):
    """With one shard, what needs two is skipped and says so; nothing fails."""
    async with served_shards(tmp_path, count=1) as endpoints:
        report = await run_kit(endpoints, "open", "append", "copy", "chain")
    reasons = {result.group: result.reason for result in report.results}
    assert report.conforms
    assert reasons["copy"] == reasons["chain"] == "needs two shards; name a second one with --target"
    assert reasons["append"] == ""


async def test_a_restart_command_that_fails_is_said(tmp_path):
    """A restart command that ends with another code than 0 fails the check, with the code."""
    async with served_shards(tmp_path, count=1) as endpoints:
        report = await run_kit(endpoints, "faults/acknowledged-stays", restart_command="false {shard_id}")
    assert failed(report) == {"faults/acknowledged-stays": "--restart-command for shard-0 ended with code 1"}


def _script(act, directory, shard_id):
    return [sys.executable, "-m", "tests.conformance.standalone", act, str(directory), shard_id]


def _standalone(act, directory, shard_id):
    """Run the script and return what it prints: the endpoint."""
    return subprocess.run(
        _script(act, directory, shard_id), check=True, cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()

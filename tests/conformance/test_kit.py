"""The kit itself: its table, its run ids, its words, its command."""

import json
import subprocess

import grpc
import pytest

from plb_ray.conformance.catalogue import GROUPS, chosen
from plb_ray.conformance.outcome import Failure, Status
from plb_ray.conformance.registry import Check, Needs
from plb_ray.conformance.runner import Options, examine
from plb_ray.conformance.status import CODE_OF, Refusal, demand
from plb_ray.errors import BadInputError, ShardUnavailableError
from plb_ray.rpc import errors
from plb_ray.rpc.server import start_server
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardControlServicer
from service import cli
from service.exit_codes import ExitCode
from tests.conformance.broken_ownership import lease_never_ends
from tests.conformance.kit import failed, run_kit, served_shards


def test_every_check_has_a_name_of_its_own_and_says_what_is_promised():
    """No two checks share a name, and each has its sentence."""
    checks = chosen()
    assert len({(check.group, check.name) for check in checks}) == len(checks)
    assert all(len(check.says) > 15 and check.says != check.name for check in checks)
    assert {check.group for check in checks} == set(GROUPS)


def test_choosing():
    """Groups and single checks can be chosen; an unknown name is refused with the known ones."""
    assert {check.group for check in chosen(["pause", "seal/late"])} == {"pause", "seal"}
    assert [check.name for check in chosen(["seal/late"])] == ["late"]
    with pytest.raises(BadInputError, match="nothing-like-it; the groups are open, bad-input"):
        chosen(["pause", "nothing-like-it"])


def test_codes_are_those_of_the_server():
    """The kit's own table of reasons and codes agrees with what our servers send."""
    sent = {rule.error.reason: rule.code for rule in errors._RULES}
    assert {reason: sent[reason] for reason in CODE_OF} == CODE_OF


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal("Append", grpc.StatusCode.UNAVAILABLE, "later"), "UNAVAILABLE .no ErrorInfo of plb.v1."),
        (Refusal("Append", grpc.StatusCode.INTERNAL, "x", "MOVED"), "INTERNAL MOVED"),
        (
            Refusal("Append", grpc.StatusCode.FAILED_PRECONDITION, "x", "MOVED", {"epoch": "2"}),
            "lacks order_param, shard_id",
        ),
    ],
)
def test_what_a_refusal_must_carry(refusal, words):
    """A wrong code, a lacking ErrorInfo and lacking metadata each fail."""
    with pytest.raises(Failure, match=words):
        demand(refusal, "an append", "MOVED")


async def test_a_run_id_is_used_once(tmp_path):
    """A run id whose names are on a shard is refused: what they left would be judged."""
    async with served_shards(tmp_path, count=1) as endpoints:
        options = Options(tuple(endpoints), "twice")
        assert (await examine(chosen(["open"]), options)).conforms
        with pytest.raises(BadInputError, match="choose another --run-id"):
            await examine(chosen(["open"]), options)
        for bad in ("", "a/b", "x" * 61):
            with pytest.raises(BadInputError, match="write 1 to 60 characters"):
                await examine(chosen(["open"]), Options(tuple(endpoints), bad))


async def test_targets_that_cannot_be_tested(tmp_path):
    """Nothing there, nothing of the contract there, and the same target twice are refused in words."""
    with pytest.raises(ShardUnavailableError, match="no connection within"):
        await run_kit(["127.0.0.1:1"])
    stranger = await start_server("127.0.0.1:0", {}, "a stranger")
    with pytest.raises(BadInputError, match=r"offers neither plb\.v1\.ShardControl nor plb\.v1\.QueueControl"):
        await run_kit([stranger.endpoint])
    await stranger.stop(0)
    async with served_shards(tmp_path, count=1) as (endpoint,):
        with pytest.raises(BadInputError, match="two targets are the same"):
            await run_kit([endpoint, endpoint])
        with pytest.raises(BadInputError, match="two shard ids are the same"):
            await run_kit([endpoint, endpoint.replace("127.0.0.1", "localhost")])


class Unreflected(ShardControlServicer):
    async def GetCapabilities(self, _request, _context):  # noqa: N802 - gRPC's name
        capacity = pb.Resources(cpu_cores=1, memory_bytes=1, io_bytes_per_s=1)
        return pb.Capabilities(shard_id="plain", protocol_version=1, capacity=capacity)


async def test_a_server_without_reflection_is_found_out_by_trying():
    """A shard without reflection and without a data plane: what it offers is tested, the rest is skipped."""
    server = grpc.aio.server()
    from plb_ray.rpc.v1.queue_pb2_grpc import add_ShardControlServicer_to_server  # noqa: PLC0415 - used once

    add_ShardControlServicer_to_server(Unreflected(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    report = await run_kit([f"127.0.0.1:{port}"], "open/described", "append")
    await server.stop(0)
    assert report.targets == (f"127.0.0.1:{port}: shard plain (ShardControl)",)
    assert {result.status for result in report.results} == {Status.PASSED, Status.SKIPPED}
    assert report.results[-1].reason == "needs ShardData on every shard"


async def test_a_crash_of_a_check_is_a_failure_and_the_run_goes_on(tmp_path):
    """Answers that a check cannot make sense of fail it, with where; the next check runs."""

    async def senseless(case):
        return case.targets.shards[7]

    crashing = Check("senseless", "open", "Something", Needs.SHARD, senseless)
    async with served_shards(tmp_path, count=1) as endpoints:
        report = await examine([crashing, *chosen(["open/open"])], Options(tuple(endpoints), "r"))
    assert "IndexError" in failed(report)["open/senseless"]
    assert report.results[-1].status is Status.PASSED


async def test_what_a_failed_check_leaves_is_cleaned_up(tmp_path):
    """After failures nothing of the run is paused, and nothing waits to be consumed."""
    async with served_shards(tmp_path, lease_never_ends.breaks) as endpoints:
        report = await run_kit(endpoints, "pause", "seal/late", "copy/incomplete")
    assert not report.conforms
    assert not report.left


# The command


async def _plb(*arguments):
    import asyncio  # noqa: PLC0415 - used once
    import sys  # noqa: PLC0415 - used once

    code = "import sys; from service.cli import run; sys.exit(run(sys.argv[1:]))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "conformance", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_passes(tmp_path):
    """Exit code 0 when nothing failed; the table shows what is promised, and the file has every result."""
    file = tmp_path / "report.json"
    async with served_shards(tmp_path, count=1) as (endpoint,):
        code, out, err = await _plb("--target", endpoint, "--only", "open", "--only", "copy", "--json", str(file))
    assert (code, err) == (ExitCode.OK, "")
    assert "pass  open/open" in out
    assert "it conforms" in out
    document = json.loads(file.read_text())
    assert document["conforms"]
    assert document["counts"] == {"pass": len(chosen(["open"])), "fail": 0, "skip": len(chosen(["copy"]))}


async def test_the_command_fails(tmp_path):
    """Exit code 8 when something failed, with the reason; --json - leaves standard output to programs."""
    async with served_shards(tmp_path, lease_never_ends.breaks, count=1) as (endpoint,):
        code, out, err = await _plb("--target", endpoint, "--only", "pause/lease-ends", "--json", "-")
    assert code == ExitCode.CHECKS_FAILED
    assert [result["status"] for result in json.loads(out)["results"]] == ["fail"]
    assert "appends are refused after a lease of 400 ms" in " ".join(err.split())


def test_bad_arguments(capsys, tmp_path):
    """What cannot be meant is one sentence and exit code 2, before anything is asked."""
    for arguments, words in (
        ([], "name at least one --target"),
        (["--target", "nowhere"], "write it as HOST:PORT"),
        (["--target", "a:1", "--only", "nope"], "no checks are called nope"),
        (["--target", "a:1", "--json", str(tmp_path)], "cannot be written"),
    ):
        assert cli.run(["conformance", *arguments]) == ExitCode.USAGE
        assert words in " ".join(capsys.readouterr().err.split())


def test_listing(capsys):
    """--list shows every check with its promise and asks nobody."""
    assert cli.run(["conformance", "--list"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert all(f"{check.group}/{check.name}" in shown for check in chosen())

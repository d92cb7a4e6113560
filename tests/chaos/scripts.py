"""Cases that are more than one strike at one boundary. Each is a coroutine over a trial, like `crash.crash`."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from contextlib import asynccontextmanager

from plb_ray.clock import monotonic_s
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import PlbError
from plb_ray.rpc.queue_client import QueueClient
from tests.chaos.child import Child
from tests.chaos.faults import OUTLIVED_S
from tests.chaos.stage import LEASE_S
from tests.chaos.trial import REACHED_S

ROUNDS = 4
STOPS_S = 0.01  # until a process that was told to stop or go on has done so


async def clean(trial):
    """A migration that nobody disturbs ends forward, and passes no boundary that the matrix does not know."""
    await trial.traffic()
    record = await trial.migrate()
    trial.require(getattr(record, "step", None) is MigrationStep.DONE, f"undisturbed, yet it ended with {record}")
    trial.stage.balancer.say("passed", order_param=trial.order_param)
    passed = (await trial.stage.balancer.hear("passed", REACHED_S))["boundaries"]
    unknown = sorted({name for name in map(trial.logical, passed) if not trial.case.knows(name)})
    trial.require(not unknown, f"boundaries that the matrix does not know: {unknown}")
    await trial.settle()


async def late_seal(trial):
    """SEAL arrives when the lease has ended: it is refused, the source serves again by itself."""
    await trial.traffic()
    await trial.reach("source.seal/before")
    trial.struck_s = monotonic_s()
    await trial.flows()
    await asyncio.sleep(LEASE_S + trial.rng.uniform(0.0, 0.3))
    trial.stage.balancer.say("open")
    await trial.settle()
    trial.require(trial.outcome.ended == "back", f"a late seal ended {trial.outcome.ended}")


async def to_and_fro(trial):
    """A -> B -> A -> B ... without a breath between, each way in a mode of its own or all in one."""
    await trial.traffic()
    there, back = trial.source, trial.destination
    for _ in range(ROUNDS):
        record = await trial.migrate(there, back, trial.drawn_mode())
        trial.require(getattr(record, "step", None) is MigrationStep.DONE, f"undisturbed, yet it ended with {record}")
        there, back = back, there
    await trial.settle()


async def round_trip_crash(trial):
    """A -> B, and on the way back to A, straight afterwards, a victim is killed."""
    await trial.traffic()
    await trial.migrate(mode=trial.drawn_mode())
    trial.source, trial.destination = trial.destination, trial.source
    await trial.reach(trial.case.where)
    trial.struck_s = monotonic_s()
    await trial.case.faulted.strike(trial.stage, trial.victims)
    trial.stage.balancer.say("open")
    await trial.case.faulted.last(trial)
    await trial.case.faulted.back(trial.stage, trial.victims)
    trial.back_s = monotonic_s()
    await trial.settle()


async def same_shard(trial):
    """A migration to the shard where the order param is, is refused and changes nothing."""
    await trial.traffic()
    before = await trial.stage.states(trial.order_param)
    answer = await trial.migrate(trial.source, trial.source)
    trial.require(isinstance(answer, PlbError), f"a migration to the same shard was not refused: {answer}")
    after = await trial.stage.states(trial.order_param)
    changed = {name for name in before if _held(before[name]) != _held(after[name])}
    trial.require(not changed, f"a refused migration changed {changed}")
    trial.ids.clear()
    trial.outcome.ended = "refused"
    await trial.settle()


async def two_balancers(trial):
    """Two balancers with journals of their own move the same order params against each other."""
    await trial.traffic()
    async with second_balancer(trial.stage, "second") as (_, other):
        for _ in range(ROUNDS):
            await asyncio.gather(*(_moved_somewhere(trial, queue) for queue in (trial.stage.queue, other)))
    trial.ids.clear()
    trial.outcome.ended = "several"
    await _restart_balancer(trial.stage)  # it believes the shards, whatever it believed before
    await trial.settle()


async def zombie_takeover(trial):
    """A balancer stops at a boundary, another takes over its journal (its lock removed by hand), then the first returns."""
    stage = trial.stage
    await trial.traffic()
    await trial.reach(trial.case.where)
    trial.struck_s = monotonic_s()
    await _stop_between_writes(stage.balancer, stage.folder / "balancer" / "journal.db")
    stage.balancer.say("open")
    await asyncio.sleep(trial.rng.uniform(0.0, LEASE_S * 1.3))
    (stage.folder / "balancer" / "journal.db.lock").unlink()
    async with second_balancer(stage, "balancer") as (_, other):
        await _moved_somewhere(trial, other)
        stage.balancer.go_on()
        await asyncio.gather(*(_moved_somewhere(trial, queue) for queue in (stage.queue, other)))
        await asyncio.sleep(OUTLIVED_S)
        await stage.balancer.kill()
    trial.ids.clear()
    trial.outcome.ended = "several"
    await stage.start_again("balancer")
    await trial.settle()


async def _stop_between_writes(balancer, journal):
    """Stop a balancer while it does not write: in the middle of a write it keeps its successor out (test_journal)."""
    balancer.stop()
    await asyncio.sleep(STOPS_S)
    while _is_being_written(journal):
        balancer.go_on()
        await asyncio.sleep(STOPS_S)
        balancer.stop()
        await asyncio.sleep(STOPS_S)


def _is_being_written(journal):
    with contextlib.closing(sqlite3.connect(journal, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def _held(state):
    return state.ownership, state.epoch


@asynccontextmanager
async def second_balancer(stage, journal):
    """Start another balancer on a journal; kill it in the end."""
    arguments = lambda: stage.balancer_arguments(journal, stage.network.listen("balancer"))  # noqa: E731
    log = stage.folder / "balancer-2.log"
    child = Child("balancer-2", "tests.chaos.balancer_main", arguments, log, stage.network.prefix("balancer"))
    stage.children["balancer-2"] = child
    ready = await child.start()
    queue = QueueClient(ready["endpoint"])
    try:
        yield child, queue
    finally:
        await queue.close()
        await child.kill()
        del stage.children["balancer-2"]


async def _restart_balancer(stage):
    await stage.balancer.terminate()
    await stage.start_again("balancer")


async def _moved_somewhere(trial, queue):
    """Let a balancer move the order param away from where it thinks it is. It may be refused, or fail."""
    try:
        owner = (await queue.mapping()).placements[trial.order_param].owner
    except (PlbError, KeyError):
        return
    others = [name for name in (trial.source, trial.destination, trial.third) if name != owner]
    migrating = trial.migrate(owner, str(trial.rng.choice(others)), trial.drawn_mode(), queue)
    await asyncio.wait({migrating}, timeout=REACHED_S)

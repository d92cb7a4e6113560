"""The herald deletes what the shard has sealed and handed over, when no balancer does: when, on whose word, and how far."""

from dataclasses import replace

import pytest

from plb_ray.migration.ports import Ownership, SealRecord
from plb_ray.queues.embedded import draining
from plb_ray.queues.embedded.herald import DRAIN_AFTER_S, LOOK_S
from plb_ray.queues.embedded.operations import Abort, Ack, BeginImport, Drain, ImportChunk, Pause, Resume, transition
from plb_ray.queues.embedded.ownership import redirected
from plb_ray.queues.embedded.sealing import confirmed
from tests.shard.real_shards import real_shards
from tests.shard.test_chain_restarts import TO, chain_here
from tests.shard.test_herald_duties import NOWHERE, Peer, acted, found, heralding, sealed
from tests.shard.test_shard_operations import blocks
from tests.shard.test_shard_store import PAUSE, fill, rows

SERVES = found(Ownership.ACTIVE, 2)
CONFIRM = transition(lambda record, _: confirmed(record, "m"))


def knows(ownership, epoch, endpoint):
    """A state that redirects."""
    return replace(found(ownership, epoch), moved_to_endpoint=endpoint)


async def handed_over(shard):
    """Seal, and let the hand-over be confirmed by a balancer that does nothing more."""
    await sealed(shard)
    await shard.run("K", CONFIRM)
    assert rows(shard) == 10
    await acted(shard, 0.0)


async def test_a_copy_that_nobody_drains_is_drained(tmp_path, monkeypatch):
    """After its time, and not before, the copy is deleted in chunks on the destination's word; the tombstone stays."""
    monkeypatch.setattr(draining, "DRAIN_MESSAGES", 4)
    peer = Peer(state=SERVES)
    async with heralding(tmp_path, host_b_1=peer) as shard:
        await fill(shard, batch=2)
        await shard.run("K", PAUSE)
        await shard.seal("K", "m", 1, TO, chained=False)
        await shard.run("K", CONFIRM)
        for at_s in (0.0, LOOK_S, DRAIN_AFTER_S - 0.01):
            await acted(shard, at_s)
        assert (peer.calls, rows(shard)) == ([], 10)
        await acted(shard, DRAIN_AFTER_S + 5.0)
        assert (peer.calls, rows(shard)) == (["state"], 0)
        assert shard.record("K").moved_to_endpoint == "host-b:1"
        assert await acted(shard, 100.0) == 0
        assert await shard.run("K", Drain("m", 10)) == 0


async def test_a_source_that_has_handed_over_itself_drains_too(tmp_path):
    """With a balancer that is dead since its seal the source resumes the destination, then deletes its copy."""
    peer = Peer(state=SERVES)
    async with heralding(tmp_path, host_b_1=peer) as shard:
        await sealed(shard)
        for at_s in range(20):
            await acted(shard, float(at_s))
        assert (peer.calls, rows(shard)) == (["resume", "state"], 0)


@pytest.mark.parametrize(
    "state",
    [
        found(Ownership.NONE, 0),
        found(Ownership.IMPORTING, 2),
        found(Ownership.IMPORTING, 9),
        found(Ownership.ACTIVE, 1),
        knows(Ownership.SEALED, 9, "shard-0:self"),
        knows(Ownership.SEALED, 9, "host-b:1"),
        NOWHERE,
    ],
)
async def test_nothing_is_drained_on_no_word(tmp_path, state):
    """A destination that is away, has lost its data, imports, or redirects in a circle keeps the copy where it is."""
    peers = {"host_b_1": Peer(state=state), "shard_0_self": Peer(state=knows(Ownership.SEALED, 9, "host-b:1"))}
    async with heralding(tmp_path, **peers) as shard:
        await handed_over(shard)
        for at_s in (20.0, 30.0, 40.0):
            assert await acted(shard, at_s) == 1
        assert rows(shard) == 10
        shard.herald._peer = lambda _: Peer(state=SERVES)
        await acted(shard, 50.0)
        assert rows(shard) == 0


async def test_who_serves_it_later_speaks_for_the_destination(tmp_path):
    """A destination that has given the order param on, or imports it again, shows the way to who serves it now."""
    first, second = Peer(state=knows(Ownership.IMPORTING, 9, "host-c:1")), Peer(state=found(Ownership.PAUSED, 8))
    async with heralding(tmp_path, host_b_1=first, host_c_1=second) as shard:
        await handed_over(shard)
        await acted(shard, 20.0)
        assert (first.calls, second.calls, rows(shard)) == (["state"], ["state"], 0)


async def test_a_mapping_update_is_no_word_of_the_destination(tmp_path):
    """A mapping update that came before the destination serves lets an import wipe the copy, but does not drain it."""
    async with heralding(tmp_path, host_b_1=Peer(state=found(Ownership.IMPORTING, 2))) as shard:
        await sealed(shard)
        await shard.run("K", transition(lambda record, _: redirected(record, 2, *TO)))
        await acted(shard, 0.0)
        await acted(shard, 20.0)
        assert rows(shard) == 10


async def test_what_the_balancer_drains_is_not_asked_for(tmp_path):
    """Where the balancer has drained, the destination is not asked; where it stopped half-way, the rest is drained."""
    peer = Peer(state=SERVES)
    async with heralding(tmp_path, host_b_1=peer) as shard:
        await handed_over(shard)
        while await shard.run("K", Drain("m", 4)):
            pass
        await acted(shard, LOOK_S)
        assert await acted(shard, LOOK_S) == 0
        assert peer.calls == []


async def test_a_drain_goes_on_after_a_restart(tmp_path):
    """What is left of the copy, and that it is to go, is on disk."""
    async with heralding(tmp_path) as shard:
        await fill(shard, batch=2)
        await shard.run("K", PAUSE)
        await shard.seal("K", "m", 1, TO, chained=False)
        assert await shard.run("K", Drain("m", 4)) == 4
    async with heralding(tmp_path, host_b_1=Peer(state=SERVES)) as shard:
        assert await acted(shard, 0.0) == 1
        assert rows(shard) == 6
        await acted(shard, 20.0)
        assert rows(shard) == 0
    async with heralding(tmp_path) as shard:
        assert await acted(shard, 0.0) == 0


async def test_what_comes_back_is_not_drained(tmp_path):
    """An order param that comes back is no duty any more, neither while it is imported nor when that is undone."""
    async with heralding(tmp_path, host_b_1=Peer(state=SERVES)) as shard:
        await handed_over(shard)
        await shard.run("K", BeginImport("back", 2))
        assert await acted(shard, 20.0) == 0
        await shard.run("K", Abort("back"))
        assert await acted(shard, 40.0) == 0
        assert shard.record("K").ownership is Ownership.SEALED


async def test_it_comes_back_while_the_destination_is_asked(tmp_path):
    """An import that begins between the destination's word and the delete is left alone."""
    async with heralding(tmp_path) as shard:

        class Returning(Peer):
            async def state(self, _):
                await shard.run("K", BeginImport("back", 2))
                return SERVES

        shard.herald._peer = lambda _: Returning()
        await handed_over(shard)
        await acted(shard, 20.0)
        assert (shard.record("K").ownership, shard.record("K").migration_id) == (Ownership.IMPORTING, "back")


async def test_a_trailing_segment_is_not_drained(tmp_path):
    """A chained seal's backlog stays until it is consumed, however long that takes."""
    async with heralding(tmp_path, host_b_1=Peer(state=SERVES)) as shard:
        await chain_here(shard)
        await shard.run("K", CONFIRM)
        for at_s in (0.0, 20.0, 40.0):
            await acted(shard, at_s)
        assert (rows(shard), shard.record("K").handed_over) == (10, True)
        assert [one.epoch for one in shard.view.segments("K")] == [1]


async def test_what_a_chained_seal_leaves_acknowledged_is_drained(tmp_path):
    """Acknowledged messages that were not deleted yet at a chained seal do not stay behind its tombstone."""
    async with heralding(tmp_path, host_b_1=Peer(state=SERVES)) as shard:
        await fill(shard)
        await shard.run("K", Ack(1, 10))
        await shard.run("K", PAUSE)
        await shard.seal("K", "m", 1, TO, chained=True)
        await shard.run("K", CONFIRM)
        assert rows(shard) == 10
        await acted(shard, 0.0)
        await acted(shard, 20.0)
        assert rows(shard) == 0


@pytest.mark.shards
async def test_a_real_destination_is_asked(tmp_path):
    """A destination's process that is killed keeps the copy where it is; when it is back, and serves, the copy goes."""
    async with real_shards(tmp_path / "destination", 1) as [destination], heralding(tmp_path / "source") as shard:
        control = destination.control
        shard.herald._peer = lambda _: control
        moved_to = ("shard-0", destination.process.endpoint)
        await fill(shard)
        await shard.run("K", PAUSE)
        await control.begin("K", "m", 1)
        seal = await shard.seal("K", "m", 1, moved_to, chained=False)
        tail = tuple(block.data for block in await shard.tail(seal, 0))
        await control.resume("K", "m", replace(seal, tail=tail))
        await shard.run("K", CONFIRM)
        await acted(shard, 0.0)
        await destination.process.kill()
        await acted(shard, 20.0)
        assert rows(shard) == 10
        await destination.back()
        await acted(shard, 40.0)
        assert rows(shard) == 0
        assert await destination.poll() == {"K": list(range(1, 11))}


async def test_what_lies_before_a_gap_is_drained_too(tmp_path):
    """A copy whose last messages were consumed before they were copied has older ones all the same: they go as well."""
    came = SealRecord("K", "m0", 2, final_seq=10, acked_seq=10, delivered_seq=10, bytes_total=100, producers=())
    async with heralding(tmp_path, host_b_1=Peer(state=found(Ownership.ACTIVE, 3))) as shard:
        await shard.run("K", BeginImport("m0", 1))
        await shard.run("K", ImportChunk("m0", 1, blocks((1, 6))))
        await shard.run("K", Resume("m0", came))
        await shard.run("K", Pause("m", 2, 5000))
        await shard.seal("K", "m", 2, TO, chained=True)
        await shard.run("K", CONFIRM)
        assert rows(shard) > 0
        await acted(shard, 0.0)
        await acted(shard, 20.0)
        assert rows(shard) == 0

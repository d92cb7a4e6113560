"""The herald's duties one by one, with peers that answer what the test says: when they are due, and what counts as done."""

import asyncio
import contextlib

import pytest

from plb_ray import errors
from plb_ray.migration.ports import OrderParamState, Ownership, SegmentState
from plb_ray.queues.embedded.herald import DRAIN_AFTER_S, GRACE_S, HOPS, LOOK_S
from plb_ray.queues.embedded.operations import Ack, Drain, transition
from plb_ray.queues.embedded.ownership import redirected
from tests.shard.test_chain_restarts import TO, chain_here, come_back
from tests.shard.test_shard_store import PAUSE, fill, opened

NOWHERE = errors.ShardUnavailableError("shard-1", "host-b:1", "")


class Peer:
    """Answers with what is set, raises it if it is an error; one value per call where it is a list. `calls`: their names."""

    def __init__(self, resume=None, advance=None, state=None):
        self.calls = []
        self._answers = {"resume": resume, "advance": advance, "state": state}

    async def resume(self, *_):
        return self._answer("resume")

    async def advance(self, *_):
        return self._answer("advance")

    async def state(self, _):
        return self._answer("state")

    async def copy_backlog(self, *_):
        self.calls.append("copy")
        return
        yield

    def _answer(self, call):
        self.calls.append(call)
        answer = self._answers[call]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextlib.asynccontextmanager
async def heralding(directory, **peers):
    """A shard whose herald acts only when `acted` is called, and knows these peers (`_` for `-` and `:`)."""
    async with opened(directory) as shard:
        shard.clock_s = 0.0
        shard.now_s = lambda: shard.clock_s
        shard.herald = shard._herald
        shard.herald._peer = lambda endpoint: peers[endpoint.replace("-", "_").replace(":", "_")]
        yield shard
        shard.herald._peer = None


async def acted(shard, at_s):
    """Let the herald look at a time, and finish what it begins; return how many duties it has."""
    shard.clock_s = at_s
    count = shard.herald.round()
    while tasks := [state.task for state in shard.herald._states.values() if state.task is not None]:
        await asyncio.gather(*tasks)
    return count


def found(ownership, epoch, *segments):
    return OrderParamState("K", ownership, epoch, segments=segments)


async def sealed(shard):
    await fill(shard)
    await shard.run("K", PAUSE)
    return await shard.seal("K", "m", 1, TO, chained=False)


async def test_a_hand_over_waits_for_its_grace(tmp_path):
    """The balancer has a second to confirm a hand-over before the source does it; then it is confirmed, and no duty."""
    peer = Peer()
    async with heralding(tmp_path, host_b_1=peer) as shard:
        await sealed(shard)
        assert await acted(shard, 0.0) == 1
        assert await acted(shard, GRACE_S - 0.01) == 1
        assert peer.calls == []
        await acted(shard, GRACE_S)
        assert peer.calls == ["resume"]
        assert shard.record("K").served_there
        await acted(shard, 100.0)
        assert peer.calls == ["resume"]


async def test_what_is_confirmed_is_not_done_again(tmp_path):
    """A mapping update or a drain of the same migration ends the duty, a drain of another one does not."""
    async with heralding(tmp_path) as shard:
        await sealed(shard)
        await shard.run("K", Drain("other", 10))
        assert await acted(shard, 0.0) == 1
        await shard.run("K", transition(lambda record, _: redirected(record, 2, *TO)))
        await acted(shard, 0.0)
        await acted(shard, DRAIN_AFTER_S - 0.1)
    async with heralding(tmp_path / "drained") as shard:
        await sealed(shard)
        await shard.run("K", Drain("m", 10))
        await acted(shard, 0.0)
        await acted(shard, LOOK_S)
        assert await acted(shard, 100.0) == 0


async def test_attempts_come_at_growing_distances(tmp_path):
    """A destination that is away is tried again and again, less and less often, but at least every few seconds."""
    peer = Peer(resume=NOWHERE)
    async with heralding(tmp_path, host_b_1=peer) as shard:
        await sealed(shard)
        times = []
        for tick in range(400):
            before = len(peer.calls)
            await acted(shard, tick / 10)
            times += [tick / 10] * (len(peer.calls) - before)
        assert times[:3] == pytest.approx([1.0, 2.0, 4.0])
        assert 4.9 <= times[-1] - times[-2] <= 5.1
        assert not shard.record("K").served_there


async def test_a_refusal_of_one_who_serves_is_a_hand_over(tmp_path):
    """If the destination refuses and has had the order param since, nothing is copied."""
    for ownership, epoch in ((Ownership.ACTIVE, 2), (Ownership.PAUSED, 4), (Ownership.SEALED, 3)):
        peer = Peer(resume=errors.MigrationConflictError("no"), state=found(ownership, epoch))
        async with heralding(tmp_path / ownership, host_b_1=peer) as shard:
            await sealed(shard)
            await acted(shard, 0.0)
            await acted(shard, GRACE_S)
            assert peer.calls == ["resume", "state"]
            assert shard.record("K").served_there


@pytest.mark.parametrize(
    ("refusal", "state"),
    [
        (errors.MigrationConflictError("held by another"), found(Ownership.IMPORTING, 2)),
        (errors.MovedError("K", "shard-0", "host-a:1", 1), found(Ownership.SEALED, 1)),
        (errors.MovedError("K", "shard-2", "host-c:1", 2), found(Ownership.SEALED, 2)),
        (errors.UnknownOrderParamError("K"), found(Ownership.NONE, 0)),
        (errors.RetryableError("copy again"), found(Ownership.IMPORTING, 2)),
    ],
)
async def test_a_refusal_of_one_who_does_not_serve_is_none(tmp_path, refusal, state):
    """Another import, an old tombstone, nothing, half a copy: it is copied and resumed, and confirmed only if that helps."""
    stubborn, willing = Peer(resume=refusal, state=state), Peer(resume=[refusal, None], state=state)
    for peer, helped in ((stubborn, False), (willing, True)):
        async with heralding(tmp_path / str(helped), host_b_1=peer) as shard:
            await sealed(shard)
            await acted(shard, 0.0)
            await acted(shard, GRACE_S)
            assert peer.calls == ["resume", "state", "copy", "resume"]
            assert shard.record("K").served_there is helped


async def behind(shard):
    """The order param has come back, behind a segment of epoch 2 at host-b:1; the one of epoch 1 here is not consumed."""
    await chain_here(shard)
    await come_back(shard)
    await acted(shard, 0.0)


@pytest.mark.parametrize(
    ("answer", "is_front"),
    [
        (found(Ownership.SEALED, 3), True),
        (found(Ownership.ACTIVE, 5, SegmentState(4, 31, 40, 30)), True),
        (found(Ownership.SEALED, 3, SegmentState(2, 11, 20, 10)), False),
        (found(Ownership.SEALED, 3, SegmentState(2, 21, 20, 20, front=False)), False),
        (found(Ownership.NONE, 0), False),
        (found(Ownership.SEALED, 2), False),
        (NOWHERE, False),
    ],
)
async def test_only_the_shard_before_says_that_it_is_our_turn(tmp_path, answer, is_front):
    """It is our turn when the shard that had the segment before says that none is left up to there, and not before."""
    async with heralding(tmp_path, host_b_1=Peer(state=answer)) as shard:
        await behind(shard)
        await acted(shard, 10.0)
        assert shard.record("K").behind is not is_front


async def ended(shard):
    """A trailing segment that is consumed, and was left to the shard at host-b:1."""
    await chain_here(shard)
    await shard.run("K", transition(lambda record, _: redirected(record, 2, *TO)))
    await shard.run("K", Ack(1, 10), 1)


async def test_the_end_of_a_segment_is_told_then_forgotten(tmp_path):
    """The shard of the next segment is told, following redirects, and then the segment is gone."""
    moved = errors.MovedError("K", "shard-2", "host-c:1", 3)
    first, second = Peer(advance=moved), Peer()
    async with heralding(tmp_path, host_b_1=first, host_c_1=second) as shard:
        await ended(shard)
        assert await acted(shard, 0.0) == 2  # the tombstone's is to look what is left of it
        assert (first.calls, second.calls) == (["advance"], ["advance"])
        assert list(shard.view.lines) == [("K", 0)]
        await acted(shard, LOOK_S)
        assert await acted(shard, 100.0) == 0
        assert (first.calls, second.calls) == (["advance"], ["advance"])


@pytest.mark.parametrize("refusal", [NOWHERE, errors.PausedError("K"), errors.MovedError("K", "shard-1", "host-b:1", 3)])
async def test_what_is_not_told_is_not_forgotten(tmp_path, refusal):
    """While the next shard is away, still imports, or redirects in a circle, the segment stays for whoever asks."""
    peer = Peer(advance=refusal)
    async with heralding(tmp_path, host_b_1=peer) as shard:
        await ended(shard)
        await acted(shard, 0.0)
        assert len(peer.calls) == (HOPS if isinstance(refusal, errors.MovedError) else 1)
        assert ("K", 1) in shard.view.lines

"""How acks and nacks find their way, and how long a lease is taken for granted."""

import asyncio

import pytest

from plb_ray import errors
from plb_ray.client import Located
from plb_ray.domain.mapping import Placement
from plb_ray.queues.acks import ASK_EVERY, Acknowledger
from plb_ray.queues.deliveries import Source
from plb_ray.queues.leases import Leases
from plb_ray.rpc.errors import status_of
from plb_ray.rpc.v1 import queue_pb2 as pb

A1, A3, B2 = Source("a", 1), Source("a", 3), Source("b", 2)


class Refusing:
    """Data planes that answer from a table: source -> errors, one after the other, then yes."""

    def __init__(self, answers):
        self.answers = {source: list(refusals) for source, refusals in answers.items()}
        self.taken = []  # (source, sequence)
        self.calls = 0

    def stub(self, endpoint):
        return _Stub(self, endpoint)

    def answer(self, source, seq):
        """Return the refusal, None if it is taken. A source that is not in the table is a mistake of the test's."""
        if self.answers[source]:
            return self.answers[source].pop(0)
        self.taken.append((source, seq))
        return None


class _Stub:
    def __init__(self, shards, endpoint):
        self._shards, self._endpoint = shards, endpoint

    async def AckMany(self, request, timeout):  # noqa: N802, ASYNC109, ARG002 - the stub's names
        self._shards.calls += 1
        return pb.AckManyResponse(outcomes=[self._outcome(ack) for ack in request.acks])

    async def Nack(self, request, timeout):  # noqa: N802, ASYNC109, ARG002 - the stub's names
        refusal = self._shards.answer(Source(self._endpoint, request.epoch), request.seq)
        if refusal is not None:
            raise refusal
        return pb.AckResponse(acked_seq=request.seq - 1)

    def _outcome(self, ack):
        refusal = self._shards.answer(Source(self._endpoint, ack.epoch), ack.up_to_seq)
        return pb.AckOutcome() if refusal is None else pb.AckOutcome(error=status_of(refusal).SerializeToString())


class OnePlace:
    """A resolver that knows one placement."""

    def __init__(self, *sources):
        self._located = Located(
            Placement("K", tuple(source.endpoint for source in sources), sources[-1].epoch),
            tuple(source.endpoint for source in sources),
        )

    async def resolve(self, order_param, *, create=False):  # noqa: ARG002 - the protocol's
        return self._located


async def acknowledged(answers, *acks, resolver=None):
    """Send acks; return the shards, and how each ended."""
    shards, ends = Refusing(answers), []
    acknowledger = Acknowledger(shards, resolver, "c", lambda ack, error: ends.append((ack.source, ack.up_to_seq, error)))
    for source, seq in acks:
        acknowledger.put("K", source, seq)
    async with asyncio.timeout(5):
        await acknowledger.close()
    return shards, ends


async def test_acks_follow_moves_and_wait_for_imports():
    """An ack that meets a redirect and then an unfinished import ends at the new owner under the new epoch."""
    answers = {A1: [errors.MovedError("K", "b", "b", 2)], B2: [errors.PausedError("K"), errors.PausedError("K")]}
    shards, ends = await acknowledged(answers, (A1, 7))
    assert shards.taken == [(B2, 7)]
    assert ends == [(A1, 7, None)]


async def test_acks_of_a_returned_order_param_take_its_new_epoch():
    """When the order param has come back under a higher epoch, the ack is repeated under that one."""
    shards, _ = await acknowledged({A1: [errors.StaleEpochError("K", 1, 3)], A3: []}, (A1, 7))
    assert shards.taken == [(A3, 7)]


async def test_an_ack_that_may_have_passed_its_segment_is_not_sure():
    """A redirect to the next epoch leads to the segment; one over several may lead past it, to one that drops the ack."""
    far = Source("b", 4)
    moves = {A1: [errors.MovedError("K", "b", "b", 2)], B2: [], A3: [errors.MovedError("K", "b", "b", 4)], far: []}
    shards, sure = Refusing(moves), {}
    acknowledger = Acknowledger(shards, None, "c", lambda ack, _: sure.update({ack.source: ack.sure}))
    acknowledger.put("K", A1, 7)
    acknowledger.put("K", A3, 20)
    await acknowledger.close()
    assert sure == {A1: True, A3: True}
    moves = {A1: [errors.MovedError("K", "b", "b", 4)], far: []}
    acknowledger = Acknowledger(Refusing(moves), None, "c", lambda ack, _: sure.update({ack.source: ack.sure}))
    acknowledger.put("K", A1, 7)
    await acknowledger.close()
    assert sure == {A1: False, A3: True}


async def test_acks_for_one_shard_are_put_together_by_segment():
    """Of several acks of one segment that wait together only the newest is sent; those of another segment have their own."""
    shards, ends = await acknowledged({A1: [], A3: []}, (A1, 3), (A3, 20), (A1, 9), (A1, 6))
    assert sorted(shards.taken) == [(A1, 9), (A3, 20)]
    assert shards.calls == 1
    assert sorted(ends) == [(A1, 9, None), (A3, 20, None)]


async def test_an_ack_that_was_redirected_does_not_end_another_ones_wait():
    """Acks of two segments that meet at one shard are sent as one, and both are told that it was taken."""
    answers = {A1: [errors.MovedError("K", "b", "b", 2)], B2: []}
    _, ends = await acknowledged(answers, (A1, 7), (B2, 9))
    assert sorted(ends) == [(A1, 7, None), (B2, 9, None)]


@pytest.mark.parametrize("refusal", [errors.UnknownOrderParamError("K"), errors.NotTheHolderError("K", "other")])
async def test_hopeless_acks_are_given_up(refusal):
    """An ack that can never work is told why, and does not keep the consumer from closing."""
    shards, ends = await acknowledged({A1: [refusal]}, (A1, 7))
    assert shards.taken == []
    assert [(seq, type(error)) for _, seq, error in ends] == [(7, type(refusal))]


async def test_acks_of_a_shard_that_is_gone_go_where_the_order_param_is():
    """When a shard stays away, the resolver is asked; an ack leaves a shard only if nothing of the order param is there."""
    away = [errors.ShardUnavailableError("a", "a")] * ASK_EVERY
    shards, _ = await acknowledged({A1: away, B2: []}, (A1, 7), resolver=OnePlace(B2))
    assert shards.taken == [(B2, 7)]
    shards, _ = await acknowledged({A1: away}, (A1, 7), resolver=OnePlace(A1, B2))
    assert shards.taken == [(A1, 7)]


async def test_nacks_follow_moves():
    """A nack that meets a redirect is repeated at the new owner; one that can never work says why."""
    shards = Refusing(
        {A1: [errors.MovedError("K", "b", "b", 2)], B2: [errors.PausedError("K")], A3: [errors.BadInputError()]}
    )
    acknowledger = Acknowledger(shards, None, "c", lambda *_: None)
    assert await acknowledger.nack("K", A1, 5, 10) is None
    assert shards.taken == [(B2, 5)]
    assert isinstance(await acknowledger.nack("K", A3, 5, 10), errors.BadInputError)
    await acknowledger.close()


def test_a_lease_counts_from_the_sending_of_an_answered_poll():
    """It runs from when the poll was sent, not from its answer; a poll without an answer does not prolong it."""
    leases = Leases()
    assert leases.polling("a", 10.0)
    assert leases.number("a", 10.0) == 0
    leases.answered("a", 10.0, 2000, 10.0)
    assert not leases.polling("a", 11.0)
    assert leases.number("a", 11.9) == 1
    assert leases.number("a", 12.0) == 0


def test_a_lease_that_has_ended_comes_back_as_another():
    """After a silence the next lease has another number, so that what the old one covered is worth nothing."""
    leases = Leases()
    leases.polling("a", 0.0)
    leases.answered("a", 0.0, 1000, 0.0)
    assert leases.polling("a", 5.0)
    leases.answered("a", 5.0, 1000, 5.0)
    assert leases.number("a", 5.5) == 2


def test_a_late_answer_does_not_revive_a_lease():
    """A poll that is answered after the lease has ended renews nothing: what was kept under it may be dropped already."""
    leases = Leases()
    leases.polling("a", 0.0)
    leases.answered("a", 0.0, 1000, 0.1)
    assert not leases.polling("a", 0.9)
    leases.answered("a", 0.9, 1000, 1.1)
    assert leases.number("a", 1.1) == 0
    assert leases.polling("a", 1.2)


def test_a_shard_without_leases_has_an_endless_one():
    """Zero milliseconds mean that the shard knows no leases."""
    leases = Leases()
    leases.polling("a", 0.0)
    leases.answered("a", 0.0, 0, 0.0)
    assert leases.number("a", 1e9) == 1
    assert leases.number("b", 0.0) == 0

"""Blocks: every way to make one keeps every message, and nothing malformed is taken from a peer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plb_ray.errors import BadInputError
from plb_ray.queues.embedded.blocks import MAX_NAME_BYTES, MAX_SEQ, Block, StoredMessage
from plb_ray.queues.embedded.reading import SMALL_MESSAGES, handy
from plb_ray.rpc.channel import MAX_PAYLOAD_BYTES
from plb_ray.rpc.v1 import queue_pb2 as pb

VALUES = st.tuples(
    st.sampled_from(("p", "q", "Käse")), st.integers(1, 2**40), st.binary(max_size=9), st.floats(0, 2e9, allow_nan=False)
)


@st.composite
def runs(draw):
    """Messages that follow one another; often, as after an append, of one producer, numbered on, and of one time."""
    first = draw(st.integers(1, 2**50))
    rows = draw(st.lists(VALUES, min_size=1, max_size=12))
    if draw(st.booleans()):
        producer, number, _, appended_s = rows[0]
        rows = [(producer, number + place, row[2], appended_s) for place, row in enumerate(rows)]
    return [StoredMessage(first + place, *row) for place, row in enumerate(rows)]


def good(**changed):
    """Return a well-formed block of three messages by two producers, with some columns changed."""
    columns = {
        "first_seq": 5,
        "producers": ("p", "q"),
        "producer": (0, 1, 0),
        "producer_seqs": (1, 1, 2),
        "appended_s": (1.0, 2.0, 3.0),
        "sizes": (1, 0, 2),
        "payloads": b"abc",
    }
    return pb.Block(**{**columns, **changed}).SerializeToString()


@given(runs())
def test_messages_survive_storing(messages):
    """What is made of messages and written out reads back as the same messages, bounds and columns."""
    block = Block.parse(Block.of(messages).data)
    assert block.messages() == messages
    assert (block.first_seq, block.last_seq, len(block)) == (messages[0].seq, messages[-1].seq, len(messages))
    assert list(block.sizes) == [len(message.payload) for message in messages]
    assert list(block.appended_s) == [message.appended_s for message in messages]
    assert block.payload_bytes == sum(block.sizes)


@given(runs(), st.data())
def test_parts_are_the_messages_between(messages, data):
    """A part has exactly the messages of its bounds, and joining parts gives the whole again."""
    block = Block.of(messages)
    seqs = st.integers(block.first_seq, block.last_seq)
    first, last = sorted((data.draw(seqs), data.draw(seqs)))
    expected = [message for message in messages if first <= message.seq <= last]
    assert block.messages(first, last) == expected
    part = block.part(first, last)
    assert part.messages() == expected
    whole = ((block.first_seq, first - 1), (first, last), (last + 1, block.last_seq))
    parts = [block.part(*bounds) for bounds in whole if bounds[0] <= bounds[1]]
    assert Block.join(parts).data == block.data


@given(runs(), st.integers(1, 5), st.integers(1, 20))
def test_pieces_are_small_and_complete(messages, most_messages, most_bytes):
    """Cutting keeps all messages in order; a piece above the bounds has one message."""
    pieces = list(Block.of(messages).cut(most_messages, most_bytes))
    assert [message for piece in pieces for message in piece.messages()] == messages
    assert all(len(piece) == 1 or (len(piece) <= most_messages and piece.payload_bytes <= most_bytes) for piece in pieces)


@given(st.lists(runs(), min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 60))
def test_handy_blocks_have_the_same_messages(lists, most_messages, most_bytes):
    """Joining small blocks and cutting large ones changes no message, and nothing is larger than it has to be."""
    seq, blocks = 1, []
    for messages in lists:
        blocks.append(Block.of([StoredMessage(seq + place, *vars_of(m)) for place, m in enumerate(messages)]))
        seq = blocks[-1].last_seq + 1
    found = list(handy(blocks, most_messages, most_bytes))
    assert [m for block in found for m in block.messages()] == [m for block in blocks for m in block.messages()]
    longest = max(*map(len, blocks), most_messages)
    assert all(len(block) <= longest for block in found)
    assert all(block.payload_bytes <= most_bytes or len(block) == 1 for block in found)


def vars_of(message):
    return message.producer, message.producer_seq, message.payload, message.appended_s


def test_single_messages_are_joined():
    """Blocks of one message, as unary appends leave them, go on the way together."""
    ones = [Block.appended(seq, "p", seq, (b"x",), 1.0) for seq in range(1, 2 * SMALL_MESSAGES + 1)]
    (joined,) = handy(ones, 500, 1 << 20)
    assert joined.data == Block.appended(1, "p", 1, (b"x",) * len(ones), 1.0).data


def test_well_formed_is_taken():
    """The block that the malformed ones below differ from is accepted."""
    assert [message.producer for message in Block.parse(good()).messages()] == ["p", "q", "p"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff\xff",
        good()[:-1],
        good(sizes=()),
        good(first_seq=0),
        good(first_seq=MAX_SEQ),
        good(sizes=(1, 0, 3)),
        good(sizes=(1, 0)),
        pb.Block(
            first_seq=1, producers=("p",), producer_seqs=(1,), appended_s=(1.0,), sizes=(MAX_PAYLOAD_BYTES + 1,),
            payloads=bytes(MAX_PAYLOAD_BYTES + 1),
        ).SerializeToString(),
        good(producers=()),
        good(producers=("p", "p")),
        good(producers=("p", "")),
        good(producers=("p", "q" * (MAX_NAME_BYTES + 1))),
        good(producer=(0, 1)),
        good(producer=()),
        good(producer=(0, 1, 2)),
        good(producers=("p",), producer=(0, 1, 0)),
        good(producer_seqs=()),
        good(producer_seqs=(1, 2)),
        good(producer_seqs=(0, 1, 2)),
        good(producer_seqs=(MAX_SEQ,)),
        good(appended_s=()),
        good(appended_s=(1.0, 2.0)),
        good(appended_s=(float("nan"),)),
        good(appended_s=(1.0, float("inf"), 2.0)),
    ],
)  # fmt: skip
def test_malformed_is_refused(data):
    """A block with columns that do not fit together, or values that no append could have had, is bad input."""
    with pytest.raises(BadInputError):
        Block.parse(data)


@given(st.binary(max_size=60))
def test_noise_never_breaks_anything(noise):
    """Whatever bytes come: a block that can be read in full, or BadInputError."""
    try:
        block = Block.parse(noise)
    except BadInputError:
        return
    assert len(block.messages()) == len(block)

"""Samples that are pushed to the control loop: they reach the history, and disturb neither a tick nor a training."""

import asyncio
import threading

import numpy as np
import pytest
from test_control_loop import START_S, STEADY, STEP_S, World

from plb_ray.control import answers
from plb_ray.domain.samples import PushOutcome, SampleBatch, SampleKind, Series


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "history")
    yield made
    made.history.close()


def rates(name, values_at):
    """Return a batch of one order param from {step number since the start: rate}."""
    at_s = np.array([START_S + at * STEP_S for at in values_at], dtype=np.float64)
    return SampleBatch(SampleKind.RATE, (Series(name, at_s, np.array(list(values_at.values()))),))


async def test_pushed_rates_are_what_the_next_tick_sees(world):
    """What is pushed for past steps is in the history, is counted in the status, and the loop's own steps follow it."""
    await world.steps(3, STEADY)
    pushed = rates("a", {-2: 7.0, 1: 9.0})
    assert await world.loop.push_samples(pushed) == PushOutcome(late=1, replaced=1)
    await world.steps(2, STEADY)
    history = world.history.window().rows(("a",))
    assert history.start_s == START_S - 2 * STEP_S
    assert history.messages_per_s[0].tolist() == [7, 7, 0.5, 9, 0.5, 0.5, 0.5]
    status = await world.loop.status()
    assert status.history.pushed == PushOutcome(late=1, replaced=1)
    assert (status.history.steps, status.history.step_s) == (7, STEP_S)
    assert status.last_error == ""


async def test_a_step_that_has_not_ended_is_refused(world):
    """The loop's clock says what has ended, and allows for clocks that differ by a little."""
    world.clock.at_s = START_S + STEP_S - answers.CLOCKS_DIFFER_S - 0.1
    assert (await world.loop.push_samples(rates("a", {0: 1.0}))).refused == 1
    world.clock.at_s += 0.1
    assert (await world.loop.push_samples(rates("a", {0: 1.0}))).new == 1


async def test_a_large_batch_lets_others_run_in_between(world, monkeypatch):
    """Between two pieces of a batch the event loop is free."""
    monkeypatch.setattr(answers, "CELLS_AT_ONCE", 2)
    lengths = []

    async def look():
        while True:
            lengths.append(world.history.steps)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await world.loop.push_samples(rates("a", {at: 20.0 + at for at in range(-10, 0)}))
    looking.cancel()
    assert {2, 4, 6, 8} <= set(lengths)


async def test_no_cell_is_written_while_a_training_copies_the_history(world, monkeypatch):
    """The copy that a training gets is taken in a thread; a push waits for it."""
    await world.steps(4, STEADY)
    begun, go_on, copied = threading.Event(), threading.Event(), world.history.window

    def slow(steps=None):
        if steps is None:
            begun.set()
            assert go_on.wait(10)
        return copied(steps)

    monkeypatch.setattr(world.history, "window", slow)
    training = asyncio.create_task(world.loop._train_if_due())
    assert await asyncio.to_thread(begun.wait, 10)
    pushing = asyncio.create_task(world.loop.push_samples(rates("a", {0: 99.0})))
    await asyncio.to_thread(lambda: None)  # the grid is made in a thread too
    for _ in range(5):
        await asyncio.sleep(0)
    before = copied().messages_per_s.max()
    go_on.set()
    await asyncio.gather(training, pushing)
    assert before < 1
    assert copied().messages_per_s.max() == 99


async def test_a_source_that_fails_is_shown_until_it_answers(world):
    """Why samples could not be fetched stands in the status, and is not an error of the tick."""
    world.loop.note_source_error("Prometheus sleeps")
    await world.steps(1, STEADY)
    status = await world.loop.status()
    assert (status.history.source_error, status.last_error) == ("Prometheus sleeps", "")
    world.loop.note_source_error("")
    assert (await world.loop.status()).history.source_error == ""

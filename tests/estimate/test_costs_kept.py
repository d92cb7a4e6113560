"""Learned costs over restarts: learned, kept, read again; and what a file that cannot be read comes to."""

import io

import numpy as np
import pytest

from plb_ray.errors import BadInputError
from plb_ray.estimate.cost import CostModel
from plb_ray.estimate.cost_file import SavedCosts, from_bytes, to_bytes
from plb_ray.estimate.cost_keeper import CostKeeper
from tests.estimate.shards_of_mixed_costs import daily_rates, mixed_queue

ODD = ("op-0", "op-11", "never seen ☕")


def learned(seed=5, intervals=200):
    queue = mixed_queue(seed, 12, 3)
    return queue, queue.learn(CostModel(), daily_rates(np.random.default_rng(seed), 12, intervals))


def same_bands(one, other):
    pairs = zip(vars(one.bands(ODD)).values(), vars(other.bands(ODD)).values(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


async def test_after_a_restart_costs_and_bands_are_the_same_and_learning_goes_on(tmp_path):
    """Learned, closed, opened: every cost and band is equal, and what is learned next is what would have been."""
    queue, model = learned()
    keeper = CostKeeper(tmp_path / "state" / "costs.npz")
    keeper.note(model, queue.at_s)
    await keeper.close()
    again = await CostKeeper(tmp_path / "state" / "costs.npz").recall()
    assert same_bands(again, model)
    rates = np.ones((3, 12))
    names = queue.names
    assert np.array_equal(again.load(names, rates[0]), model.load(names, rates[0]))
    before = queue.look()
    queue.run(daily_rates(np.random.default_rng(9), 12, 1)[0])
    after = queue.look()
    for resource, apart in enumerate(model.updated(before, after).apart):
        assert again.updated(before, after).apart[resource].cost == pytest.approx(apart.cost, rel=1e-6)
    assert not same_bands(model.updated(before, after), model)


async def test_a_state_folder_without_costs_begins_with_none(tmp_path):
    """Nothing was kept: nothing is known, and that is no error."""
    keeper = CostKeeper(tmp_path / "costs.npz")
    assert (await keeper.recall()).table.index == {}
    assert (keeper.error, keeper.set_aside) == ("", None)


@pytest.mark.parametrize("damage", ["cut off", "a flipped byte", "another file", "empty"])
async def test_a_damaged_file_is_set_aside_and_learning_begins_anew(tmp_path, damage):
    """It is found out, kept under another name with its content, said with both names, and the next write clears that."""
    _, model = learned(intervals=5)
    whole = to_bytes(SavedCosts(model, 0.0))
    middle = len(whole) // 2
    content = {
        "cut off": whole[:middle],
        "a flipped byte": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "another file": b"PK\x03\x04 not quite",
        "empty": b"",
    }[damage]
    path = tmp_path / "costs.npz"
    for number in (1, 2):
        path.write_bytes(content)
        keeper = CostKeeper(path)
        assert (await keeper.recall()).table.index == {}
        assert keeper.set_aside == tmp_path / f"costs.npz.damaged-{number}"
        assert keeper.set_aside.read_bytes() == content
        assert str(path) in keeper.error
        assert keeper.set_aside.name in keeper.error
    keeper.note(model, 0.0)
    await keeper.close()
    assert keeper.error == ""
    assert same_bands(await CostKeeper(path).recall(), model)


def test_a_file_of_a_newer_release_is_not_guessed_at():
    """A schema that is not known is refused with its number."""
    whole = to_bytes(SavedCosts(CostModel(), 0.0))
    with np.load(io.BytesIO(whole)) as kept:
        arrays = {name: kept[name] for name in kept.files}
    newer = arrays["manifest"].tobytes().replace(b'"schema": 1', b'"schema": 9')
    arrays["manifest"] = np.frombuffer(newer, dtype=np.uint8)
    made = io.BytesIO()
    np.savez(made, **arrays)
    with pytest.raises(BadInputError, match=r"newer plb-ray \(schema 9\)"):
        from_bytes(made.getvalue(), "costs.npz")


async def test_it_is_written_every_so_often_by_the_loops_clock(tmp_path):
    """Ten minutes of ticks write once; a process that is killed then loses what came after."""
    _, model = learned(intervals=5)
    keeper = CostKeeper(tmp_path / "costs.npz", every_s=600.0)
    for tick in range(10):
        keeper.note(model, 60.0 * tick)
    assert keeper._writing is None
    keeper.note(model, 600.0)
    await keeper._writing
    assert from_bytes((tmp_path / "costs.npz").read_bytes(), "").at_s == 600.0


async def test_a_disk_that_refuses_is_told_and_stops_nothing(tmp_path):
    """A folder that cannot be written is an error in words; the costs go on being learned in memory."""
    (tmp_path / "file").write_text("in the way")
    keeper = CostKeeper(tmp_path / "file" / "costs.npz")
    keeper.note(CostModel(), 0.0)
    await keeper.close()
    assert "cannot be written" in keeper.error

"""The table of outcomes: written, read by others, kept for a while, and what a restart makes of it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from courses import DAY_S, HORIZONS, STEP_S, T0, Course, Keeper, follow, found
from deltalake import DeltaTable

from plb_ray.control.feedback import Feedback, FeedbackParams
from plb_ray.control.outcome_writer import WriterParams
from plb_ray.domain.outcomes import Distance
from plb_ray.errors import BadInputError
from plb_ray.history import outcomes
from plb_ray.history.outcomes import Outcomes, OutcomeStore, Pairs, read_outcomes

SHORT, MEDIUM = HORIZONS


def kept_in(folder, keeper=None, **writer):
    return Feedback(FeedbackParams(writer=WriterParams(**writer)), OutcomeStore(folder), keeper)


def some(cutoff_s, rows=2, horizon="short"):
    """Outcomes that differ in every column."""
    names = tuple(f"op-{row} ☕" for row in range(rows))
    rates = np.arange(rows, dtype=np.float64)
    pairs = Pairs(rates, np.where(rates > 0, rates, np.nan), rates[:, None] + np.arange(5), np.tile([0.25, 0.5], (rows, 1)))
    return Outcomes(horizon, cutoff_s, STEP_S, names, ("ensemble",) * rows, pairs)


def figures(quality):
    return [value for value in vars(quality).values() if not isinstance(value, str)]


async def settled(feedback, history):
    """Settle, and wait until the table was read."""
    await feedback.settle(history)
    await feedback._restoring


def test_others_read_it_with_any_delta_reader(tmp_path):
    """The columns say what docs/feedback.md promises, one row per order param, cutoff and step."""
    OutcomeStore(tmp_path).append([some(T0), some(T0 + DAY_S, horizon="medium")])
    table = DeltaTable(str(tmp_path / "pairs"))
    assert table.metadata().partition_columns == ["day"]
    row = next(each for each in table.to_pyarrow_table().to_pylist() if each["order_param"] == "op-1 ☕")
    assert row["cutoff"] in {datetime.fromtimestamp(T0, UTC), datetime.fromtimestamp(T0 + DAY_S, UTC)}
    shown = {
        name: row[name] for name in ("ahead_s", "observed", "seasonal_naive", "q025", "q50", "q975", "pit_upto", "source")
    }
    assert list(shown.values()) == [STEP_S, 1.0, 1.0, 1.0, 3.0, 5.0, 0.5, "ensemble"]
    idle = table.to_pyarrow_table().to_pylist()
    assert [each["seasonal_naive"] for each in idle if each["order_param"] == "op-0 ☕"] == [None, None]


async def test_what_the_document_shows_works(tmp_path, monkeypatch, capsys):
    """The code in docs/feedback.md runs on a table as it is written, and all columns are described there."""
    text = (Path(__file__).parents[2] / "docs" / "feedback.md").read_text()
    assert all(f"`{name}`" in text for name in outcomes.SCHEMA.names)
    feedback = kept_in(tmp_path / ".plb" / "outcomes")
    await follow(feedback, Course(order_params=2), 40)
    await feedback.close()
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in text.split("```python\n")[1:]:
        exec(block.split("```")[0].replace("date(2026, 11, 20)", "date(2024, 10, 1)"), names)
    assert {"op-0", "op-1"} <= set(capsys.readouterr().out.split())
    assert len(names["pairs"]) == 2 * (16 + 15)


def test_what_is_read_is_what_was_written(tmp_path, monkeypatch):
    """Batches of few rows give all rows of the days asked for, with their words, times and rates."""
    monkeypatch.setattr(outcomes, "ROWS_AT_ONCE", 2)
    store = OutcomeStore(tmp_path)
    assert list(store.read(0)) == []
    store.append([some(T0 - DAY_S), some(T0, rows=5), some(T0 + 60, horizon="medium")])
    batches = list(read_outcomes(tmp_path, T0 + 12 * STEP_S))
    assert max(batch.pairs.observed.size for batch in batches) <= 2
    rows = sorted(
        (batch.horizons[horizon], cutoff_s, end_s, *rates)
        for batch in batches
        for horizon, cutoff_s, end_s, rates in zip(
            batch.horizon, batch.cutoffs_s, batch.ends_s, batch.pairs.quantiles.tolist(), strict=True
        )
    )
    expected = [("medium", T0 + 60, T0 + 60 + STEP_S, *range(row, row + 5)) for row in range(2)]
    assert rows == expected + [("short", T0, T0 + STEP_S, *range(row, row + 5)) for row in range(5)]


def test_old_days_go_and_small_files_are_merged(tmp_path):
    """Days before the retention vanish whole; of many small commits a day few files are left, with all rows."""
    store = OutcomeStore(tmp_path)
    for at in range(6):
        store.append([some(T0 - DAY_S + 60 * at), some(T0 + 60 * at)])
    store.maintain(T0 + 60)
    table = DeltaTable(str(tmp_path / "pairs"))
    assert len(table.file_uris()) == 1
    assert table.to_pyarrow_table().num_rows == 12
    OutcomeStore(tmp_path / "none").maintain(T0)


@pytest.mark.parametrize(("distance", "ahead_s"), [(Distance.NEXT, STEP_S), (Distance.LAST, DAY_S)])
async def test_the_outcomes_of_one_order_param(tmp_path, distance, ahead_s):
    """Each hour since then comes once, written or waiting, at one distance: what came and what was foreseen of it."""
    course, hours, hours_back = Course(order_params=3), 24 * 5, 48
    feedback = kept_in(tmp_path, every_s=7 * STEP_S)
    await follow(feedback, course, hours)
    since_s = T0 + (hours - hours_back) * STEP_S
    found = await feedback.outcomes("op-1", "medium", since_s, distance)
    assert len(feedback._writer._waiting) > 1  # some of them are not in the table yet
    await feedback.close()
    assert [each.end_s for each in found.items] == [since_s + hour * STEP_S for hour in range(hours_back + 1)]
    assert {each.ahead_s for each in found.items} == {ahead_s}
    last = hours - 1
    assert found.items[-1].observed == pytest.approx(course.rates[1, last], rel=1e-6)
    assert found.items[-1].quantiles[2] == pytest.approx(course.median[1, last], rel=1e-6)
    inside = [each.quantiles[1] <= each.observed <= each.quantiles[3] for each in found.items]
    assert found.coverage_80 == pytest.approx(np.mean(inside), abs=0.02)


async def test_an_order_param_without_outcomes(tmp_path):
    """Of whom nothing was compared there is nothing, and no share either; a folder that cannot be read is told."""
    assert (await Feedback().outcomes("op-1", "short", T0, Distance.NEXT)).items == ()
    feedback = kept_in(tmp_path)
    found = await feedback.outcomes("op-1", "short", T0, Distance.LAST)
    assert (found.items, found.coverage_80, found.coverage_95) == ((), None, None)
    (tmp_path / "pairs" / "_delta_log").mkdir(parents=True)
    (tmp_path / "pairs" / "_delta_log" / "00000000000000000000.json").write_text("not a log")
    assert (await feedback.outcomes("op-1", "short", T0, Distance.LAST)).items == ()
    assert "reading failed" in feedback.error


async def test_a_restart_sums_up_the_table(tmp_path):
    """The sums of a week come back, of both horizons, up to float32."""
    course = Course(order_params=4)
    before = kept_in(tmp_path, every_s=20 * STEP_S)
    last = await follow(before, course, 24 * 8)
    await before.close()
    after = kept_in(tmp_path)
    await settled(after, course.history(last))
    await after.close()
    assert [each.horizon for each in after.quality()] == ["medium", "short"]
    for one, other in zip(before.quality(), after.quality(), strict=True):
        assert one.horizon == other.horizon
        assert figures(one) == pytest.approx(figures(other), rel=1e-5)


async def test_what_comes_while_the_table_is_read_is_added(tmp_path):
    """Ticks do not wait for the reading, and nothing is counted twice or lost, whichever is first."""
    course = Course(order_params=4)
    before = kept_in(tmp_path)
    last = await follow(before, course, 48)
    await before.close()
    after = kept_in(tmp_path, every_s=1.0)
    await after.settle(course.history(last))
    after.note(course.forecast(last, SHORT))
    await after.settle(course.history(last + 1))  # the reading has not got a turn yet
    await after._restoring
    assert found(after).pairs == found(before).pairs + 4
    await after.close()
    again = kept_in(tmp_path)
    await settled(again, course.history(last + 1))
    assert found(again).pairs == found(before).pairs + 4


async def test_a_restart_does_not_count_a_demoted_champion_again(tmp_path):
    """What it foresaw stays in the table and out of the sums, so that its successor is not demoted for it."""
    course, keeper = Course(order_params=4), Keeper()
    before = kept_in(tmp_path, keeper)
    await settled(before, course.history(24))
    last = await follow(before, course, 24 * 3 + 1, width=0.3)
    assert keeper.horizons == ["medium", "short"]
    await before.close()
    assert sum(batch.pairs.observed.size for batch in read_outcomes(tmp_path, T0)) > 1000
    after = kept_in(tmp_path, keeper)
    await settled(after, course.history(last))
    assert after.quality() == ()
    await follow(after, course, last + 30, first=last + 1)
    assert len(keeper.demoted) == 2
    await after.close()


async def test_many_ticks_make_few_commits(tmp_path):
    """Outcomes are written when the oldest has waited long enough, or when there are enough of them."""
    course = Course(order_params=4)
    for folder, limits, commits in (("by age", {"every_s": 10 * STEP_S}, 4), ("by rows", {"every_s": 1e9, "rows": 100}, 3)):
        feedback = kept_in(tmp_path / folder, **limits)
        await settled(feedback, course.history(24))
        for hour in range(24, 60):
            feedback.note(course.forecast(hour, SHORT))
            await feedback.settle(course.history(hour + 1))
            if feedback._writer._writing is not None:
                await feedback._writer._writing
        await feedback.close()
        await feedback.close()
        table = DeltaTable(str(tmp_path / folder / "pairs"))
        assert sum(each["operation"] == "WRITE" for each in table.history()) == commits
        assert table.to_pyarrow_table().num_rows == 4 * (36 + 35)


@pytest.mark.parametrize("damage", ["log", "not a folder", "note"])
async def test_a_damaged_folder_stops_nothing_and_is_told_once(tmp_path, caplog, damage):
    """Quality and demotion go on in memory; the error names the trouble, and one line is logged however often it comes."""
    folder = tmp_path / "outcomes"
    if damage == "not a folder":
        folder.write_text("in the way")
    elif damage == "log":
        (folder / "pairs" / "_delta_log").mkdir(parents=True)
        (folder / "pairs" / "_delta_log" / f"{0:020d}.json").write_text("{broken")
    else:
        folder.mkdir()
        (folder / "counts_from.json").write_text("{broken")
    course, keeper = Course(order_params=4), Keeper()
    feedback = kept_in(folder, keeper, every_s=1.0)
    await settled(feedback, course.history(23))
    assert feedback.error.startswith(("outcomes of forecasts: reading failed: ", "")[damage == "not a folder"])
    for hour in range(24, 34):
        await follow(feedback, course, hour, first=hour)
        if feedback._writer._writing is not None:
            await feedback._writer._writing
    assert found(feedback).pairs == 4 * (9 + 8)
    assert feedback.error.startswith("outcomes of forecasts: writing failed: ") == (damage != "note")
    told = [record.message for record in caplog.records if "forecasts go on" in record.message]
    assert 1 <= len(told) == len(set(told))
    await feedback.close()


async def test_a_disk_that_does_not_answer_costs_bounded_memory(tmp_path):
    """While a write hangs, outcomes wait up to four times the rows of a write; more are dropped, and that is told."""
    hang = asyncio.Event()
    feedback = kept_in(tmp_path, every_s=1.0, rows=8)
    course = Course(order_params=4)
    await settled(feedback, course.history(24))
    feedback._writer._writing = asyncio.create_task(hang.wait())
    for hour in range(24, 60):
        await follow(feedback, course, hour, first=hour)
    assert sum(len(each.order_params) for each in feedback._writer._waiting) == 32
    assert "dropped" in feedback.error
    hang.set()
    await feedback.close()
    assert feedback.error == ""


@pytest.mark.parametrize("wrong", [{"every_s": 0.0}, {"rows": 0}, {"keep_s": 7.0 * DAY_S}])
def test_writer_params_out_of_range_are_refused(wrong):
    """Parameters are checked when they are made; a week must be there to be summed up."""
    with pytest.raises(BadInputError):
        WriterParams(**wrong)

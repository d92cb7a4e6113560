"""Reading traces: the packaged sample, both file formats, and every kind of malformed file."""

import numpy as np
import pandas as pd
import pytest

from plb_ray.errors import BadInputError
from plb_ray.simulation.trace import Trace, packaged_sample, read_trace

GOOD = pd.DataFrame(
    {
        "order_param": ["a", "a", "b", "a"],
        "ts": pd.to_datetime(["2020-01-01T00:00Z", "2020-01-01T00:10Z", "2020-01-01T00:10Z", "2020-01-01T00:30Z"]),
        "messages": [1, 2, 3, 4],
    }
)


def test_the_packaged_sample_is_the_whole_year_of_all_routes():
    """The sample holds 224 routes in 10-minute bins over 2013, with the data set's 328,521 departures."""
    sample = packaged_sample()
    assert len(sample.order_params) == 224
    assert sample.step_s == 600
    assert sample.counts.sum() == 328_521
    assert sample.bins * sample.step_s >= 364 * 86_400


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
def test_parquet_and_csv_read_alike(tmp_path, ending):
    """Both formats give the same dense grid; bins without a row are zero."""
    path = tmp_path / f"trace.{ending}"
    GOOD.to_parquet(path) if ending == "parquet" else GOOD.to_csv(path, index=False)
    trace = read_trace(path)
    assert trace.order_params == ("a", "b")
    assert trace.step_s == 600
    np.testing.assert_array_equal(trace.counts, [[1, 2, 0, 4], [0, 3, 0, 0]])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("messages", -1, "messages: '-1'"),
        ("messages", float("nan"), "messages"),
        ("messages", "many", "'many'"),
        ("ts", "yesterday", "'yesterday'"),
        ("order_param", None, "order_param"),
    ],
)
def test_a_bad_cell_is_named_with_its_row(tmp_path, column, value, said):
    """The refusal says which row and column is wrong and what was expected."""
    table = GOOD.astype(object)
    table.loc[2, column] = value
    path = tmp_path / "trace.csv"
    table.to_csv(path, index=False)
    with pytest.raises(BadInputError, match=r"row 3, column") as refusal:
        read_trace(path)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.csv", None, "no such file"),
        ("wrong.txt", b"x", "unknown ending"),
        ("columns.csv", b"a,b\n1,2\n", "order_param"),
        ("noise.parquet", b"not parquet", "cannot be read"),
        ("empty.csv", b"order_param,ts,messages\n", "no rows"),
        ("short.csv", b"order_param,ts,messages\na,2020-01-01T00:00Z,1\n", "at least 3"),
        (
            "twice.csv",
            b"order_param,ts,messages\na,2020-01-01T00:00Z,1\na,2020-01-01T00:00Z,1\na,2020-01-01T00:10Z,1\na,2020-01-01T00:20Z,1\n",
            "two rows",
        ),
        (
            "seconds.csv",
            b"order_param,ts,messages\na,2020-01-01T00:00:00Z,1\na,2020-01-01T00:00:01Z,1\na,2020-01-01T00:00:02Z,1\n",
            "1 s apart",
        ),
    ],
)
def test_a_malformed_file_is_refused_with_its_name(tmp_path, name, content, said):
    """Whatever is wrong with a file, one sentence names the file and the fault."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInputError) as refusal:
        read_trace(path)
    assert str(path) in str(refusal.value)
    assert said in str(refusal.value)


def test_leading_messages_keep_their_total():
    """An event's messages are spread evenly over the bins that end with its own; nothing is lost or invented."""
    counts = np.zeros((1, 10), dtype=np.float32)
    counts[0, 6] = 6
    spread = Trace("t", ("a",), 0, 600, counts).led_by(3)
    np.testing.assert_allclose(spread.counts[0], [0, 0, 0, 0, 2, 2, 2, 0, 0, 0])


def test_busiest_keeps_the_order_of_the_trace():
    """Cutting to the busiest order params drops the others and keeps the rest as they were."""
    trace = Trace("t", ("a", "b", "c"), 0, 600, np.array([[1, 1], [0, 0], [5, 5]], dtype=np.float32))
    assert trace.busiest(2).order_params == ("a", "c")

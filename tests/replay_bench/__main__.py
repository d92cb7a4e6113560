"""Measure it: `python -m tests.replay_bench [--traces DIR] [--only NAME] [--json FILE]`: `plb replay`, beside its goals.

The last 14 days of each trace on four shards, all arms, training included, two processes. A trace that is not there is
skipped by name; the packaged sample always is. State cores and load beside the figures (the output does).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from plb_ray.clock import monotonic_s
from service import cli

TRACES = ("servegen_m-large_10min", "servegen_m-small_10min", "flights")
SHARED = Path(__file__).parents[3] / "shared" / "data"
GOALS = {"of_reactive": 0.7, "of_oracle": 0.8, "of_shard_hours": 0.5}
MINUTES_MAX = 5.0
SHARDS, DAYS = 4, 14


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=Path, default=SHARED)
    parser.add_argument("--only", choices=TRACES)
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--order-params", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    sys.stdout.write(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    found = {}
    for name in [options.only] if options.only else TRACES:
        path = options.traces / f"{name}.parquet"
        if name != "flights" and not path.exists():
            sys.stdout.write(f"{name}: skipped, {path} is not there\n")
            continue
        found[name] = measured([] if name == "flights" else [str(path)], options)
        sys.stdout.write(f"{name}: {judged(found[name])}\n")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


def measured(trace, options):
    """Replay one trace by the command, and return its figures and how many minutes it took."""
    more = [] if options.order_params is None else ["--order-params", str(options.order_params)]
    with TemporaryDirectory() as folder:
        out, began_s = Path(folder) / "replay.json", monotonic_s()
        code = cli.run(["replay", *trace, "--shards", str(SHARDS), "--days", str(options.days), *more, "--json", str(out)])
        assert code == 0
        return {**json.loads(out.read_text()), "minutes": (monotonic_s() - began_s) / 60}


def judged(figures):
    """Return in words how far each goal was reached."""
    said = [
        f"{name} {'none' if (share := figures['verdict'][name]) is None else f'{share:.0%}'} (goal {goal:.0%})"
        for name, goal in GOALS.items()
    ]
    return ", ".join([*said, f"{figures['minutes']:.1f} min (goal {MINUTES_MAX:g})"])


if __name__ == "__main__":
    sys.exit(main())

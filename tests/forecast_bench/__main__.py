"""Measure the forecasts: `python -m tests.forecast_bench [--traces DIR] [--only NAME] [--speed-only] [--json FILE]`.

Each trace is backtested by `plb backtest` in a process of its own, the ensemble beside the statistical standards in one run.
Then the ensemble's own speed: training 200 order params, predicting 1,000 and 100,000. A missed goal fails nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.factory import calibrated_ensemble
from models.params import NetworkParams
from plb_ray.clock import monotonic_s
from plb_ray.domain.rates import RateHistory, short_horizon
from tests.bench.machine import machine

RIVALS = ("naive", "seasonal_naive", "auto_ets", "auto_theta", "mstl")
TINY = NetworkParams(lookback=12, margin=2, hidden=8, steps=5, batch=16)
STEP_S = 600
DAY_S = 86_400


@dataclass(frozen=True)
class Case:
    """A trace and a horizon, with the goal: the ensemble's WQL over the best rival's, at most."""

    trace: str
    horizon: str
    ratio_max: float


CASES = (
    Case("servegen_m-large_10min", "short", 0.55),
    Case("nab_tweets_5min", "short", 0.9),
    Case("nab_nyc_taxi_30min", "short", 0.9),
    Case("servegen_m-small_10min", "medium", 0.85),
    Case("nab_nyc_taxi_30min", "medium", 0.85),
    Case("servegen_m-small_10min", "short", 1.02),
    Case("servegen_m-large_10min", "medium", 1.02),
    Case("nab_tweets_5min", "medium", 1.02),
    Case("nab_elb_requests_5min", "short", 1.02),
    Case("nab_elb_requests_5min", "medium", 1.02),
)


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for; return the exit code."""
    asked = _parser().parse_args(arguments)
    about = machine()
    _say("  ".join(f"{name}: {value}" for name, value in about.items()))
    cases = [] if asked.speed_only else [case for case in CASES if asked.only in f"{case.trace} {case.horizon}"]
    rows = [row for case in cases if (row := _judged(case, asked.traces)) is not None]
    speed = speeds(8, 4, 16, TINY) if asked.smoke else speeds(200, 1_000, 100_000)
    for name, value in speed.items():
        _say(f"{name:40} {value:,.2f}")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": about, "traces": rows, "speed": speed}, indent=1), encoding="utf-8")
    return 0


def speeds(trained: int, few: int, many: int, params: NetworkParams | None = None) -> dict[str, float]:
    """Return seconds to train on 14 days of `trained` order params, to predict `few` and `many`, and the peak memory."""
    horizon, ensemble = short_horizon(STEP_S), calibrated_ensemble(1, params)
    began_s = monotonic_s()
    ensemble.fit(traffic(trained, 14), horizon, lambda _: None)
    found = {f"train {trained:,} order params x 14 days, s": monotonic_s() - began_s}
    for order_params in (few, many):
        history = traffic(order_params, 28)
        origin = np.array([history.messages_per_s.shape[1]])
        ensemble.quantiles(history, origin)  # the levels catch up once; what counts is every other tick
        began_s = monotonic_s()
        ensemble.quantiles(history, origin)
        found[f"predict {order_params:,} order params, s"] = monotonic_s() - began_s
    found["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def traffic(order_params: int, days: int) -> RateHistory:
    """Return rates with a daily rhythm, sizes over two orders of magnitude, and noise."""
    rng = np.random.default_rng(1)
    hour = np.arange(days * DAY_S // STEP_S, dtype=np.float32) * (STEP_S / 3600)
    size = (10.0 ** rng.uniform(-1, 1, (order_params, 1))).astype(np.float32)
    phase = rng.uniform(0, 24, (order_params, 1)).astype(np.float32)
    rates = size * (1.2 + np.sin((hour - phase) / 24 * 2 * np.pi, dtype=np.float32))
    rates *= rng.random(rates.shape, dtype=np.float32) + 0.5
    return RateHistory(tuple(f"op-{row}" for row in range(order_params)), 20_000 * DAY_S, STEP_S, rates)


def _judged(case: Case, traces: Path) -> dict[str, object] | None:
    path = traces / f"{case.trace}.parquet"
    if not path.exists():
        _say(f"{case.trace} {case.horizon}: skipped, there is no {path}")
        return None
    with tempfile.TemporaryDirectory() as folder:
        json_path = Path(folder) / "figures.json"
        command = [sys.executable, "-c", "from service.cli import main; main()", "backtest", str(path)]
        command += ["--horizon", case.horizon, "--models", ",".join(("ensemble", "baseline", *RIVALS))]
        subprocess.run([*command, "--json", str(json_path)], check=True, stdout=subprocess.DEVNULL)
        figures = json.loads(json_path.read_text(encoding="utf-8"))
    models = figures["models"]
    rival = min((name for name in RIVALS if name in models), key=lambda name: models[name]["wql"])
    ours, ratio = models["ensemble"], models["ensemble"]["wql"] / models[rival]["wql"]
    verdict = "met" if ratio <= case.ratio_max else "MISSED"
    _say(
        f"{case.trace:24} {case.horizon:6}  ensemble {ours['wql']:.4f}  {rival} {models[rival]['wql']:.4f}  "
        f"ratio {ratio:.3f} (goal {case.ratio_max}) {verdict}  "
        f"coverage {ours['coverage_80']:.3f} {ours['coverage_95']:.3f}  fit {ours['fit_s']:.0f} s"
    )
    return {
        "trace": case.trace,
        "horizon": case.horizon,
        "rival": rival,
        "ratio": ratio,
        "verdict": verdict,
        "models": models,
    }


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.forecast_bench", description=__doc__)
    traces = Path(os.environ.get("PLB_TRACES", "../shared/data"))
    parser.add_argument("--traces", type=Path, default=traces, help="folder of traces; default: PLB_TRACES, ../shared/data")
    parser.add_argument("--only", default="", help="cases whose trace and horizon hold this")
    parser.add_argument("--speed-only", action="store_true", help="no traces")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


if __name__ == "__main__":
    sys.exit(main())

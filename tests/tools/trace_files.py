"""Traces as files, as users give them: order_param, ts, messages."""

import numpy as np
import pandas as pd


def write_trace(trace, path):
    """Write a trace (K order params x T bins) as Parquet, and return the path."""
    ts = pd.to_datetime(trace.start_s + trace.step_s * np.arange(trace.bins), unit="s", utc=True)
    names, times = np.repeat(trace.order_params, trace.bins), np.tile(ts, len(trace.order_params))
    pd.DataFrame({"order_param": names, "ts": times, "messages": trace.counts.ravel()}).to_parquet(path)
    return path

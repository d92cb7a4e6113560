"""Forecasters: history in, forecast out. Neural networks, baselines, and how one is chosen."""

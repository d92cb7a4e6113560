"""Benchmarks of the forecasts: against the statistical standards, and their speed. Run `python -m tests.forecast_bench`."""

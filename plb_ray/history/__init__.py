"""Observed arrival rates: counters in, a regular grid of rates out, kept on disk as a Delta table."""

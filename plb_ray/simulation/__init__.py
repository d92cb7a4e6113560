"""Traces, their replay as message traffic, and the checker that proves order."""

"""Benchmarks of the queue: pauses, copying, appends, migrations per second, chains. Run `python -m tests.queue_bench`."""

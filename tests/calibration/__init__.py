"""The physics of replays held against real shard processes: `python -m tests.calibration` measures its constants."""

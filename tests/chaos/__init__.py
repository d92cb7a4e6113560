"""The crash matrix on real OS processes: `python -m tests.chaos`. `cases` says what is done, `stage` on what."""

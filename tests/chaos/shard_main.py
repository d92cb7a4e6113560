"""An embedded shard as it is, but with a clock that can jump: `python -m tests.chaos.shard_main ARGUMENTS OF A SHARD`."""

from __future__ import annotations

import sys

from tests.chaos import jumping_clock, lines

if __name__ == "__main__":
    lines.die_with_parent()
    jumping_clock.install()
    from plb_ray.queues.embedded.__main__ import main

    sys.exit(main(sys.argv[1:]))

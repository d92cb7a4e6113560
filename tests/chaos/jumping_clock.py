"""A wall clock that jumps on a signal: SIGUSR1 an hour ahead, SIGUSR2 an hour back. Monotonic time goes on as it is."""

from __future__ import annotations

import signal

from plb_ray import clock

JUMP_S = 3600.0
AHEAD, BACK = signal.SIGUSR1, signal.SIGUSR2


def install():
    """Replace `plb_ray.clock.wall_time_s`; to be called before anything else imports it by name."""
    real, shift_s = clock.wall_time_s, 0.0

    def jump(number, _frame):
        nonlocal shift_s
        shift_s += JUMP_S if number == AHEAD else -JUMP_S

    clock.wall_time_s = lambda: real() + shift_s
    signal.signal(AHEAD, jump)
    signal.signal(BACK, jump)

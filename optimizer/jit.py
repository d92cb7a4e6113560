"""The one door to numba: `kernel` compiles a function on plain arrays to machine code at its first call.

Compiled code is kept beside the module (or, where that folder cannot be written, in the user's cache), so that a machine
pays for it once: `python -m optimizer.warm` does so at set-up. Kernels release the interpreter lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function compiled; called from Python or from other kernels, it has the same signature."""
    compiled: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    return compiled

"""The lock that lets one process at a time be the owner of a journal.

`flock` belongs to the open file: the operating system releases it when the process ends, however it ends, and never earlier.
The file also holds the owner's process id, for people. The lock is for owners on one machine (the journal is a local file).
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from plb_ray.errors import NotTheOwnerError

if TYPE_CHECKING:
    from pathlib import Path


class OwnerLock:
    """Held from construction to `release`.

    Raises:
        NotTheOwnerError: another process (or another journal in this process) holds it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise NotTheOwnerError(
                f"the journal beside {path} is held by process {holder}; stop that one first, or use another state folder"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next owner in."""
        os.close(self._file)

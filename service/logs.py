"""The log of a balancer: everything that its control loop's process says, in a file of the state folder.

A line is time (UTC), level, logger and message; those of "plb.migration" hold one step of one migration as key=value. The
file is rotated, so that it never grows beyond `FILES` x `FILE_BYTES`. A thread of its own writes it: a slow disk must not
hold up a migration that has paused its order param. Warnings go to standard error as before.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, contextmanager
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from queue import SimpleQueue
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_BYTES = 20 * 1024 * 1024
FILES = 5
OURS = ("plb", "plb_ray", "service", "models", "optimizer")
LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Write what our loggers say at INFO and above to a file while the block runs.

    Raises:
        BadInputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"log {path}: cannot be written: {error.strerror or error}") from error
    formatter = logging.Formatter(LINE, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handlers: list[logging.Handler] = [QueueHandler(queue)]
    if logging.lastResort is not None and not logging.getLogger().handlers:
        handlers.append(logging.lastResort)  # Python itself does so only where there is no handler at all
    listener = QueueListener(queue, handler)
    with ExitStack() as attached:
        attached.callback(handler.close)
        listener.start()
        attached.callback(listener.stop)
        for name in OURS:
            attached.enter_context(_attached(logging.getLogger(name), handlers))
        yield


@contextmanager
def _attached(logger: logging.Logger, handlers: list[logging.Handler]) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        logger.setLevel(level)

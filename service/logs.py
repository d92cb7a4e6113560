"""The log of a balancer: everything that its control loop's process says, in a file of the state folder.

As text, a line is time (UTC), level, logger, message and, in brackets, the ids of the work it belongs to; lines of
"plb.migration" hold one step of one migration as key=value. As JSON, a line is one object with the same, and a traceback if
there is one. Ids are request, tick, migration and trace; see `plb_ray.context`.

The file is rotated, so that it never grows beyond `files` x `file_mb`. A thread of its own writes it: a slow disk must not
hold up a migration that has paused its order param. Warnings go to standard error as before.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import ExitStack, contextmanager
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from plb_ray.context import ids
from plb_ray.errors import BadInputError
from plb_ray.settings import LogSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1024 * 1024
OURS = ("plb", "plb_ray", "service", "models", "optimizer")
LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
TIME = "%Y-%m-%dT%H:%M:%S"


class _TextFormatter(logging.Formatter):
    """For people."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(LINE, TIME)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the library's name
        """Return the line; the traceback follows it."""
        told = " ".join(f"{name}={value}" for name, value in _ids_of(record).items())
        line = super().formatMessage(record)
        return f"{line} [{told}]" if told else line


class _JsonFormatter(logging.Formatter):
    """For machines: one object a line, with the keys at, level, logger, message, the ids, and maybe fields and traceback."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        at = f"{self.formatTime(record, TIME)}.{int(record.msecs):03d}Z"
        said: dict[str, Any] = {"at": at, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        said |= _ids_of(record)
        if fields := getattr(record, "plb_fields", None):
            said["fields"] = {name: value for name, value in fields.items() if value not in (None, "")}
        if record.exc_text:  # `_Queue` has made it
            said["traceback"] = record.exc_text
        return json.dumps(said, ensure_ascii=False, default=str)


class _Queue(QueueHandler):
    """Notes the ids while it is still the thread and task that says something."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Make a record ready for another thread: its text, its traceback as text, and its ids."""
        found = logging.makeLogRecord(record.__dict__)
        found.msg, found.args = record.getMessage(), None
        if record.exc_info:
            found.exc_text, found.exc_info = record.exc_text or logging.Formatter().formatException(record.exc_info), None
        found.plb_ids = ids()
        return found


def _ids_of(record: logging.LogRecord) -> dict[str, str]:
    return getattr(record, "plb_ids", {})


@contextmanager
def log_to(path: Path, settings: LogSettings | None = None) -> Iterator[None]:
    """Write what our loggers say to a file while the block runs.

    Args:
        path: of the file.
        settings: of [log]; None: the defaults.

    Raises:
        BadInputError: the file cannot be written.
    """
    settings = settings or LogSettings()
    handler = _file(path, settings)
    handler.setFormatter(_JsonFormatter() if settings.format == "json" else _TextFormatter())
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handlers: list[logging.Handler] = [_Queue(queue)]
    if logging.lastResort is not None and not logging.getLogger().handlers:
        handlers.append(logging.lastResort)  # Python itself does so only where there is no handler at all
    listener = QueueListener(queue, handler)
    with ExitStack() as attached:
        attached.callback(handler.close)
        listener.start()
        attached.callback(listener.stop)
        level = logging.getLevelNamesMapping()[settings.level.upper()]
        for name in OURS:
            attached.enter_context(_attached(logging.getLogger(name), handlers, level))
        yield


def _file(path: Path, settings: LogSettings) -> RotatingFileHandler:
    most_bytes = int(settings.file_mb * MEGABYTE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(path, maxBytes=most_bytes, backupCount=settings.files - 1, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"log {path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _attached(logger: logging.Logger, handlers: list[logging.Handler], level: int) -> Iterator[None]:
    before = logger.level
    logger.setLevel(level)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        logger.setLevel(before)

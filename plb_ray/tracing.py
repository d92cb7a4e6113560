"""Spans of OpenTelemetry, and the one door to it. Until `start_tracing` is called everything here does nothing.

    with span("migration", migration="m1") as here: ...       a piece of work in this process
    carrier()            -> {"traceparent": ...}              what another process needs to go on with the trace
    with joined(carried): with span(...): ...                 there

The current span travels with asyncio tasks by itself, since it lives in a context variable. A trace begins where a request
or a tick begins; `sample_share` of them are recorded, and what a caller decided in its `traceparent` goes before that.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from plb_ray.settings import TracingSettings

INTERNAL, SERVER, CLIENT = "INTERNAL", "SERVER", "CLIENT"
TRACES_PATH = "/v1/traces"


VARIABLES = "PLB_TRACING__"


class _Off:
    """What there is while tracing is off."""

    settings: TracingSettings | None = None
    provider: Any = None
    tracer: Any = None
    file: Any = None


_HERE = _Off()


class Span:
    """A span that is open, or nothing while tracing is off."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def name(self, name: str) -> None:
        """Rename it, when what it is of becomes known late."""
        if self._span is not None:
            self._span.update_name(name)

    def note(self, **attributes: Any) -> None:
        """Add attributes; dots are written as two underscores."""
        if self._span is not None:
            self._span.set_attributes(_dotted(attributes))

    def failed(self, error: BaseException) -> None:
        """Note that the work failed, and with what."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415  only where tracing is on

            self._span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))

    def end(self) -> None:
        """Close it; only for spans of `open_span`."""
        if self._span is not None:
            self._span.end()


def start_tracing(settings: TracingSettings, process: str) -> None:
    """Begin to record spans in this process; `process` says which one it is, as "shard-1". Again: nothing changes."""
    if settings.exporter == "none" or _HERE.provider is not None:
        return
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  only where tracing is on
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  the same
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415  the same

    who = {"service.name": "plb-ray", "service.instance.id": f"{process}-{os.getpid()}", "plb.process": process}
    provider = TracerProvider(resource=Resource.create(who), sampler=ParentBased(TraceIdRatioBased(settings.sample_share)))
    provider.add_span_processor(_processor(settings, process))
    _HERE.settings, _HERE.provider, _HERE.tracer = settings, provider, provider.get_tracer("plb_ray")
    atexit.register(stop_tracing)


@contextmanager
def tracing_process(settings: TracingSettings, process: str) -> Iterator[None]:
    """Record spans in this process while the block runs; inside another such block nothing changes."""
    outermost = _HERE.provider is None
    start_tracing(settings, process)
    try:
        yield
    finally:
        if outermost:
            stop_tracing()


def stop_tracing() -> None:
    """Send what is left, and record no more."""
    provider, _HERE.settings, _HERE.provider, _HERE.tracer = _HERE.provider, None, None, None
    if provider is not None:
        atexit.unregister(stop_tracing)
        provider.shutdown()
    file, _HERE.file = _HERE.file, None
    if file is not None:
        file.close()


def tracing() -> bool:
    """Return whether spans are recorded in this process."""
    return _HERE.tracer is not None


def for_children() -> dict[str, str]:
    """Return the variables of the environment that let a child process of ours record spans as this one does."""
    settings = _HERE.settings
    if settings is None:
        return {}
    told = {
        "EXPORTER": settings.exporter,
        "ENDPOINT": settings.endpoint,
        "FOLDER": str(settings.folder.absolute()),
        "SAMPLE_SHARE": f"{settings.sample_share:g}",
    }
    return {VARIABLES + name: value for name, value in told.items()}


def _processor(settings: TracingSettings, process: str) -> Any:
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415  only where tracing is on
        BatchSpanProcessor,
        ConsoleSpanExporter,
        SimpleSpanProcessor,
    )

    def in_one_line(span: Any) -> str:
        return f"{span.to_json(indent=None)}\n"

    if settings.exporter == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr, formatter=in_one_line))
    if settings.exporter == "file":
        _HERE.file = _open(settings.folder, process)
        return SimpleSpanProcessor(ConsoleSpanExporter(out=_HERE.file, formatter=in_one_line))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  the same

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint.rstrip("/") + TRACES_PATH))


def _open(folder: Path, process: str) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"{process}-{os.getpid()}.jsonl").open("a", encoding="utf-8", buffering=1)


# ---- spans


@contextmanager
def span(name: str, kind: str = INTERNAL, **attributes: Any) -> Iterator[Span]:
    """Record a piece of work as part of what goes on; it fails if the block raises."""
    if _HERE.tracer is None:
        yield Span(None)
        return
    from opentelemetry.trace import use_span  # noqa: PLC0415  only where tracing is on

    opened = open_span(name, kind, **attributes)
    try:
        with use_span(opened._span, record_exception=False, set_status_on_exception=False):  # noqa: SLF001  our own
            yield opened
    except BaseException as error:
        opened.failed(error)
        raise
    finally:
        opened.end()


def open_span(name: str, kind: str = INTERNAL, **attributes: Any) -> Span:
    """Return a span that is not the current one: for work that goes on beside others. `end` it."""
    if _HERE.tracer is None:
        return Span(None)
    from opentelemetry.trace import SpanKind  # noqa: PLC0415  only where tracing is on

    return Span(_HERE.tracer.start_span(name, kind=SpanKind[kind], attributes=_dotted(attributes)))


def current_trace_id() -> str:
    """Return the id of the trace that this work belongs to, as 32 hexadecimal digits; empty if it belongs to none."""
    if _HERE.tracer is None:
        return ""
    from opentelemetry.trace import get_current_span  # noqa: PLC0415  only where tracing is on

    found = get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""


def carrier(of: Span | None = None) -> dict[str, str]:
    """Return what another process needs to go on with the trace: of a span, or of the current one. Empty: no trace."""
    if _HERE.tracer is None:
        return {}
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415  only where tracing is on

    found: dict[str, str] = {}
    _propagator().inject(found, None if of is None else set_span_in_context(of._span))  # noqa: SLF001  our own
    return found


@contextmanager
def joined(carried: Mapping[str, str]) -> Iterator[None]:
    """Go on with the trace of another process while the block runs; without a `traceparent` nothing changes."""
    if _HERE.tracer is None or "traceparent" not in carried:
        yield
        return
    from opentelemetry import context  # noqa: PLC0415  only where tracing is on

    token = context.attach(_propagator().extract(carried))
    try:
        yield
    finally:
        context.detach(token)


def _propagator() -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  the same

    return TraceContextTextMapPropagator()


def _dotted(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in attributes.items() if value is not None}

"""Traces over gRPC: a client span per call that is part of a trace, and a server span per call that carries one.

Calls outside any trace, such as those of producers and consumers, are neither wrapped nor recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from plb_ray.context import going_along, what_goes_along
from plb_ray.tracing import CLIENT, SERVER, carrier, open_span, span, tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator

    from plb_ray.tracing import Span


def traced(stub: Any) -> Any:
    """Return a stub whose calls go on with the trace of whoever makes them."""
    return _Stub(stub)


class _Stub:
    """Looks like the stub it wraps."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)
        return _Method(method, name) if tracing() else method


class _Method:
    """One method of a stub."""

    def __init__(self, method: Any, name: str) -> None:
        self._method = method
        self._name = name

    def __call__(self, request: Any, **options: Any) -> Any:
        if not carrier():
            return self._method(request, **options)
        opened = open_span(f"grpc {self._name}", CLIENT, rpc__system="grpc", rpc__method=self._name)
        metadata = tuple({**what_goes_along(), **carrier(opened)}.items())
        return _Call(self._method(request, metadata=metadata, **options), opened)


class _Call:
    """A call under way, to be awaited or iterated over once; its span ends with it."""

    def __init__(self, call: Any, opened: Span) -> None:
        self._call = call
        self._open: Span | None = opened

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        try:
            return await self._call
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._end()

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for message in self._call:
                yield message
        except Exception as error:
            self._end(error)
            raise
        finally:
            self._end()

    def cancel(self) -> Any:
        """See grpc.aio.Call."""
        self._end()
        return self._call.cancel()

    def _end(self, error: BaseException | None = None) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            if error is not None:
                opened.failed(error)
            opened.end()


class TraceInterceptor(grpc.aio.ServerInterceptor):
    """Makes a call that carries a trace a part of it."""

    async def intercept_service(self, continuation: Callable[..., Awaitable[Any]], handler_call_details: Any) -> Any:
        """Wrap the method's handler; see grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        carried = dict(handler_call_details.invocation_metadata or ())
        if handler is None or not tracing() or "traceparent" not in carried:
            return handler
        name = handler_call_details.method.rsplit("/", 1)[-1]
        if handler.response_streaming:
            kind = "stream_stream" if handler.request_streaming else "unary_stream"
            wrapped: Callable[..., Any] = _streaming(getattr(handler, kind), name, carried)
        else:
            kind = "stream_unary" if handler.request_streaming else "unary_unary"
            wrapped = _unary(getattr(handler, kind), name, carried)
        return handler._replace(**{kind: wrapped})


def _unary(behaviour: Callable[..., Awaitable[Any]], name: str, carried: dict[str, str]) -> Callable[..., Any]:
    async def wrapped(request: Any, context: Any) -> Any:
        with going_along(carried), span(f"{name}", SERVER, rpc__system="grpc", rpc__method=name):
            return await behaviour(request, context)

    return wrapped


def _streaming(behaviour: Callable[..., AsyncIterable[Any]], name: str, carried: dict[str, str]) -> Callable[..., Any]:
    async def wrapped(request: Any, context: Any) -> AsyncIterator[Any]:
        with going_along(carried), span(f"{name}", SERVER, rpc__system="grpc", rpc__method=name):
            async for message in behaviour(request, context):
                yield message

    return wrapped

"""Stops a balancer at a chosen boundary: before, within or after any call of a shard port, the journal or the mapping.

A boundary's name: "shard-1.pause/before", "journal.write[sealed]/after", "mapping.compare_and_set/before"; a copy after
PAUSE is "shard-1.copy_backlog[tail]/before". The n-th call of a name in a migration (n > 1) is "shard-1.pause:2/before".
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter, defaultdict

from tests.chaos import lines


class Gate:
    """Knows which boundaries were passed, per order param, and holds whoever comes to the armed one until `open`."""

    def __init__(self):
        self.passed = defaultdict(list)
        self._calls = defaultdict(Counter)
        self._armed = None
        self._word = asyncio.Event()

    def arm(self, order_param, where):
        self._armed = (order_param, where)

    def open(self):
        """Let go who is held; what was armed meanwhile stays armed."""
        self._word.set()

    def call(self, order_param, name):
        """Return the name of a call, with its number if it is not the first of its kind in this migration."""
        if name == "journal.write[prepare]":
            self._calls[order_param].clear()
        if name.endswith(".copy_backlog") and any(call.endswith(".pause") for call in self._calls[order_param]):
            name += "[tail]"
        self._calls[order_param][name] += 1
        number = self._calls[order_param][name]
        return name if number == 1 else f"{name}:{number}"

    async def at(self, order_param, where):
        self.passed[order_param].append(where)
        if self._armed == (order_param, where):
            self._armed, self._word = None, asyncio.Event()
            lines.say("at", where=where)
            await self._word.wait()


class Gated:
    """A port whose asynchronous calls pass a gate."""

    def __init__(self, port, name, gate):
        self._port, self._name, self._gate = port, name, gate

    def __getattr__(self, method):
        found = getattr(self._port, method)
        if inspect.iscoroutinefunction(found):
            return self._call(found, method)
        return self._stream(found, method) if inspect.isasyncgenfunction(found) else found

    def _call(self, found, method):
        async def call(*args, **kwargs):
            order_param, what = _about(args)
            name = self._gate.call(order_param, f"{self._name}.{method}{what}")
            await self._gate.at(order_param, f"{name}/before")
            result = await found(*args, **kwargs)
            await self._gate.at(order_param, f"{name}/after")
            return result

        return call

    def _stream(self, found, method):
        async def stream(*args, **kwargs):
            order_param, what = _about(args)
            name = self._gate.call(order_param, f"{self._name}.{method}{what}")
            await self._gate.at(order_param, f"{name}/before")
            async for item in found(*args, **kwargs):
                yield item
                await self._gate.at(order_param, f"{name}/within")
            await self._gate.at(order_param, f"{name}/after")

        return stream


def _about(args):
    """Return the order param that a call is about, and for a record the step it tells of. Migration ids begin with it."""
    first = args[0] if args else ""
    if isinstance(first, str):
        return first.partition("#")[0], ""
    step = getattr(first, "step", None)
    undone = "!" if getattr(first, "error", "") else ""
    return getattr(first, "order_param", ""), f"[{step}{undone}]" if step else ""

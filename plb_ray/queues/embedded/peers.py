"""Channels to other shards, kept: a copy of a small backlog takes less time than a connection."""

from __future__ import annotations

from typing import Any

from plb_ray.rpc.channel import open_channel


class Peers:
    """One channel per endpoint. Used in one event loop; `close` it."""

    def __init__(self) -> None:
        self._channels: dict[str, Any] = {}

    def channel(self, endpoint: str) -> Any:
        """Return the channel to `host:port`; it belongs to this object."""
        known = self._channels.get(endpoint)
        if known is None:
            known = self._channels[endpoint] = open_channel(endpoint)
        return known

    async def close(self) -> None:
        """Close all; calls under way are cancelled."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

"""From `[queue.tls]` to what a channel takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.rpc.channel import TlsFiles

if TYPE_CHECKING:
    from plb_ray.settings import QueueTlsSettings


def tls_files(settings: QueueTlsSettings) -> TlsFiles | None:
    """Return the files that commands to the queue are encrypted with; None: they go as they are."""
    return TlsFiles(settings.ca, settings.cert, settings.key) if settings.enabled else None

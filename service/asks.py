"""What every part of an adapter of the control actor rests on: asking it, and making it act."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Asks(ABC):
    """Base of the parts of an adapter; the adapter itself says how the actor is reached."""

    @abstractmethod
    async def _ask(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        """Return what a method of the loop returns. Raises ControlUnavailableError."""

    @abstractmethod
    async def _act(self, method: str, argument: Any, *, doing: str) -> Any:
        """Do the same for one that changes the world. Raises OutcomeUnknownError if nobody knows whether it did."""

"""The port by which retrainings are asked for. `plb_ray.cluster.jobs` has the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from plb_ray.errors import JobServerUnavailableError, UnknownRetrainingError

if TYPE_CHECKING:
    from plb_ray.cluster.retraining import Retraining, RetrainRequest


class Retrainings(Protocol):
    """Starts retrainings and tells how far they are. Synchronous, blocks on disk and network; called off the event loop.

    Everything may raise JobServerUnavailableError.
    """

    def start(self, request: RetrainRequest) -> Retraining:
        """Start a retraining, or join the one that was asked for before; returns at once. Safe to repeat.

        Raises:
            BadInputError: see `planned`.
        """
        ...

    def recent(self) -> tuple[Retraining, ...]:
        """Return all that are remembered, newest first."""
        ...

    def find(self, retraining_id: str) -> Retraining:
        """Return one as it is now. Raises UnknownRetrainingError."""
        ...

    def log(self, retraining_id: str) -> tuple[str, ...]:
        """Return the lines that the present or last run has written; none if Ray has forgotten it.

        Raises:
            UnknownRetrainingError.
        """
        ...

    def cancel(self, retraining_id: str) -> Retraining:
        """End one, and return it when its job has ended; what is done stays done. Harmless when it is over.

        Raises:
            UnknownRetrainingError.
        """
        ...


class NoRetrainings:
    """Implements `Retrainings` for a service that has nowhere to run jobs."""

    WHY: ClassVar[str] = "this service runs without Ray, and so without retraining jobs; `plb serve` has them"

    def start(self, _request: RetrainRequest) -> Retraining:
        """See `Retrainings`."""
        raise JobServerUnavailableError(self.WHY)

    def recent(self) -> tuple[Retraining, ...]:
        """See `Retrainings`."""
        return ()

    def find(self, retraining_id: str) -> Retraining:
        """See `Retrainings`."""
        raise UnknownRetrainingError(retraining_id)

    def log(self, retraining_id: str) -> tuple[str, ...]:
        """See `Retrainings`."""
        raise UnknownRetrainingError(retraining_id)

    def cancel(self, retraining_id: str) -> Retraining:
        """See `Retrainings`."""
        raise UnknownRetrainingError(retraining_id)

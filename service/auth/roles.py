"""Roles and callers.

    viewer    reads everything but tokens
    operator  acts: migrations, plans, events, samples, orders for single order params and shards, retrainings
    admin     changes what the balancer may do by itself, which models serve, and who may call

A role may do what the ones before it may.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from plb_ray.errors import PermanentError


class Role(StrEnum):
    """What a caller may do; see the module."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Return whether one with this role may do what needs that one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class Caller:
    """Who makes a request.

    Attributes:
        name: for the audit log.
        role: what they may do.
        until_s: when the credential ends, wall time; None: it does not.
        token_id: of the API token behind it; empty if there is none.
    """

    name: str
    role: Role
    until_s: float | None = None
    token_id: str = ""


ANONYMOUS = Caller("anonymous", Role.ADMIN)
"""Everybody, while authentication is off."""


class CredentialError(PermanentError):
    """A credential is not accepted; `reason` says why for machines, the text for people, without the credential."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason  # type: ignore[misc]  # of the credential, not of the class
        self.detail = detail

    def __str__(self) -> str:
        return self.detail

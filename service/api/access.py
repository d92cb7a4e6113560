"""Who may call what: the one table of routes, roles and audited actions. A test fails when a route is missing from it.

A route that is not in the table is for admins only, so forgetting one opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.auth.roles import Role


@dataclass(frozen=True)
class Access:
    """What a route asks of its caller.

    Attributes:
        role: the least role that may call it; None: everybody, also without a credential.
        action: what the audit log calls it; empty: it changes nothing, and is not noted.
        noted: whether it is noted when it succeeds; refusals always are.
    """

    role: Role | None
    action: str = ""
    noted: bool = True


_ANYBODY = Access(None)
_READ = Access(Role.VIEWER)
_READ_SECRETS = Access(Role.ADMIN)
UNLISTED = Access(Role.ADMIN, "unlisted")


def _act(action: str) -> Access:
    return Access(Role.OPERATOR, action)


def _rule(action: str) -> Access:
    return Access(Role.ADMIN, action)


TABLE: dict[tuple[str, str], Access] = {
    # health
    ("GET", "/healthz"): _ANYBODY,
    ("GET", "/readyz"): _ANYBODY,
    ("GET", "/metrics"): _READ,
    # observe
    ("GET", "/v1/status"): _READ,
    ("GET", "/v1/forecast-quality"): _READ,
    ("GET", "/v1/forecast-outcomes/{order_param}"): _READ,
    ("GET", "/v1/forecasts/{order_param}"): _READ,
    ("GET", "/v1/allocations"): _READ,
    ("GET", "/v1/shards"): _READ,
    ("GET", "/v1/shards/{shard_id}"): _READ,
    ("GET", "/v1/order-params"): _READ,
    ("GET", "/v1/order-params/{order_param}"): _READ,
    ("GET", "/v1/settings"): _READ,
    ("GET", "/v1/models"): _READ,
    ("GET", "/v1/costs"): _READ,
    ("GET", "/v1/costs/{order_param}"): _READ,
    # the record
    ("GET", "/v1/decisions"): _READ,
    ("GET", "/v1/decisions/{number}"): _READ,
    ("GET", "/v1/effects"): _READ,
    ("GET", "/v1/audit"): _READ,
    ("GET", "/v1/audit:export"): _READ,
    # plans
    ("GET", "/v1/plans/latest"): _READ,
    ("POST", "/v1/plans:dry-run"): _READ,
    ("GET", "/v1/plans"): _READ,
    ("POST", "/v1/plans"): _act("plan.save"),
    ("GET", "/v1/plans/{plan_id}"): _READ,
    ("POST", "/v1/plans/{plan_id}/approve"): _act("plan.approve"),
    ("POST", "/v1/plans/{plan_id}/execute"): _act("plan.execute"),
    ("POST", "/v1/plans/{plan_id}/cancel"): _act("plan.cancel"),
    # migrations
    ("GET", "/v1/migrations"): _READ,
    ("POST", "/v1/migrations"): _act("migration.start"),
    ("GET", "/v1/migrations/{migration_id}"): _READ,
    ("GET", "/v1/migrations/{migration_id}/events"): _READ,
    ("POST", "/v1/migrations/{migration_id}/cancel"): _act("migration.cancel"),
    # what the balancer may do
    ("GET", "/v1/balancer"): _READ,
    ("PATCH", "/v1/balancer"): _rule("balancer.change"),
    ("PUT", "/v1/balancer/pins/{order_param}"): _act("balancer.pin"),
    ("DELETE", "/v1/balancer/pins/{order_param}"): _act("balancer.unpin"),
    ("PUT", "/v1/balancer/forbidden/{order_param}"): _act("balancer.forbid"),
    ("DELETE", "/v1/balancer/forbidden/{order_param}"): _act("balancer.allow"),
    ("PUT", "/v1/balancer/spread-groups/{group}"): _act("balancer.spread"),
    ("DELETE", "/v1/balancer/spread-groups/{group}"): _act("balancer.unspread"),
    ("PUT", "/v1/balancer/drains/{shard}"): _act("balancer.drain"),
    ("DELETE", "/v1/balancer/drains/{shard}"): _act("balancer.undrain"),
    ("PUT", "/v1/balancer/fills/{shard}"): _act("balancer.fill"),
    ("DELETE", "/v1/balancer/fills/{shard}"): _act("balancer.unfill"),
    # events and history
    ("GET", "/v1/events"): _READ,
    ("POST", "/v1/events"): _act("event.put"),
    ("DELETE", "/v1/events/{event_id}"): _act("event.remove"),
    ("POST", "/v1/events:import"): _act("event.import"),
    # Samples come every few seconds for ever: noting each would drown what people do.
    ("POST", "/v1/history/samples"): Access(Role.OPERATOR, "samples.push", noted=False),
    # retraining and models
    ("GET", "/v1/retrainings"): _READ,
    ("POST", "/v1/retrainings"): _act("retraining.start"),
    ("GET", "/v1/retrainings/{retraining_id}"): _READ,
    ("DELETE", "/v1/retrainings/{retraining_id}"): _act("retraining.cancel"),
    ("GET", "/v1/models/{group}/{horizon}"): _READ,
    ("PUT", "/v1/models/{group}/{horizon}/champion"): _rule("model.serve"),
    # capacity
    ("GET", "/v1/capacity"): _READ,
    ("POST", "/v1/capacity:what-if"): _READ,
    # callers
    ("GET", "/v1/session"): _ANYBODY,
    ("POST", "/v1/session"): Access(None, "session.begin"),
    ("DELETE", "/v1/session"): Access(None, "session.end"),
    ("GET", "/v1/tokens"): _READ_SECRETS,
    ("POST", "/v1/tokens"): _rule("token.create"),
    ("DELETE", "/v1/tokens/{token_id}"): _rule("token.revoke"),
}


def access_to(method: str, template: str) -> Access:
    """Return what a route asks of its caller; HEAD asks what GET does."""
    return TABLE.get(("GET" if method == "HEAD" else method, template), UNLISTED)

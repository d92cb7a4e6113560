from __future__ import annotations

from balancer_contract import BalancerContract


class TestFakeBalancer(BalancerContract):
    """The fake that the API's tests rely on holds what every balancer must."""

"""The kit finds each broken rule, and says which promise it breaks."""

import pytest

from tests.conformance import broken_chains, broken_delivery, broken_moves, broken_ownership, broken_soft_pauses
from tests.conformance.kit import be_impatient, failed, run_kit, served_shards

EVERY = (
    *broken_ownership.TABLE,
    *broken_moves.TABLE,
    *broken_soft_pauses.TABLE,
    *broken_delivery.TABLE,
    *broken_chains.TABLE,
)


@pytest.mark.parametrize("broken", EVERY, ids=str)
async def test_a_broken_rule_fails_its_checks_and_no_others(tmp_path, broken, monkeypatch):
    """A shard with one rule broken fails exactly the checks of that rule."""
    be_impatient(monkeypatch)
    async with served_shards(tmp_path, broken.breaks) as endpoints:
        report = await run_kit(endpoints, *broken.run)
    assert sorted(failed(report)) == sorted(broken.fails)
    assert not report.conforms

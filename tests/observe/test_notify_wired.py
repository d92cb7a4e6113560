"""A real balancer over real shards, one of which dies, tells a real webhook; what was set by the environment is in force."""

import asyncio
import contextlib

import pytest
from webhook import webhook

from plb_ray.queues.embedded.process import ShardProcess
from plb_ray.queues.embedded.shard import ShardOptions
from plb_ray.settings import ShardAddress, load_settings
from service.wiring import BalancerSpec, build_balancer

pytestmark = [pytest.mark.shards, pytest.mark.timeout(120)]
WITHIN_S = 60.0


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110  what another thread does
            await asyncio.sleep(0.05)


async def test_a_shard_that_dies_is_told(tmp_path):
    """With the settings of the environment alone, `shard_silent` reaches the webhook, and is counted in the status."""
    shards = [ShardProcess(ShardOptions(f"shard-{row}", tmp_path / f"shard-{row}")) for row in range(2)]
    with webhook([503, 200]) as hook:
        environ = {
            "PLB_STATE_DIR": str(tmp_path / "state"),
            "PLB_QUEUE__LISTEN": "127.0.0.1:0",
            "PLB_BALANCER__MODE": "forecast_only",
            "PLB_NOTIFY__WEBHOOK_URL": hook.url,
            "PLB_NOTIFY__KINDS": '["shard_silent"]',
        }
        settings = load_settings(None, environ)
        try:
            await asyncio.gather(*(shard.start() for shard in shards))
            addresses = tuple(ShardAddress(shard.shard_id, shard.endpoint) for shard in shards)
            runtime = await build_balancer(BalancerSpec(settings, addresses, on_ray=False))
            await shards[1].kill()
            running = asyncio.create_task(runtime.run())
            try:
                await until(lambda: len(hook.bodies) >= 2)
                counts = (await runtime.balancer.status()).counts.notices
                assert counts in ({("webhook", "sent"): 1}, {})  # the answer to the second attempt may be on its way
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
                await runtime.close()
        finally:
            await asyncio.gather(*(shard.terminate() for shard in shards))
    assert [(body["kind"], body["subject"]) for body in hook.bodies] == [("shard_silent", "shard-1")] * 2
    assert "shard-1 is silent" in hook.bodies[0]["text"]

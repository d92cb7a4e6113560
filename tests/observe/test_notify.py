"""Notices on their way to real HTTP servers: retries, refusals, a full queue, a dead target beside a living one."""

import asyncio
import logging

from webhook import webhook

from models.registry import ModelRegistry
from plb_ray.clock import wall_time_s
from plb_ray.domain.notices import Notice, NoticeKind
from plb_ray.settings import NotifySettings
from service import cli
from service.notify import watched
from service.notify_send import Sender
from tests.registry.builders import filled
from tests.service.fake_balancer import FakeBalancer

CLOSED = "http://127.0.0.1:9/s3cret"  # the discard port: nobody listens


def notice(number=1, kind=NoticeKind.SHARD_SILENT):
    return Notice(kind, f"shard-{number}", f"shard shard-{number} is silent", 1_385_560_800.0, {"shard": f"shard-{number}"})


async def until(condition, timeout_s=5.0):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  what other threads do
            await asyncio.sleep(0.005)


class Sleeps:
    """Records waits and does not wait."""

    def __init__(self):
        self.asked_s = []

    async def __call__(self, seconds):
        self.asked_s.append(seconds)


async def test_a_webhook_gets_the_notice():
    """The document has kind, subject, text, time and facts."""
    with webhook([204]) as hook:
        sender = Sender(NotifySettings(webhook_url=hook.url))
        sender.post(notice())
        await sender.close()
    assert hook.bodies == [
        {
            "source": "plb-ray",
            "kind": "shard_silent",
            "subject": "shard-1",
            "text": "shard shard-1 is silent",
            "at_s": 1_385_560_800.0,
            "at": "2013-11-27T14:00:00Z",
            "facts": {"shard": "shard-1"},
        }
    ]
    assert sender.counts == {("webhook", "sent"): 1}


async def test_slack_gets_text():
    """An incoming webhook of Slack gets one line of text."""
    with webhook([200]) as hook:
        sender = Sender(NotifySettings(slack_url=hook.url))
        sender.post(notice())
        await sender.close()
    assert hook.bodies == [{"text": ":warning: plb-ray: shard shard-1 is silent"}]


async def test_what_may_pass_is_tried_again():
    """5xx, 429 and a dropped connection are tried again, the waits double, and a longer Retry-After is kept."""
    sleeps = Sleeps()
    with webhook([503, (429, {"Retry-After": "7"}), None, 200]) as hook:
        sender = Sender(NotifySettings(webhook_url=hook.url, attempts=5), sleeps)
        sender.post(notice())
        await until(lambda: sender.counts)
        await sender.close()
    assert len(hook.bodies) == 4
    assert sleeps.asked_s == [1.0, 7.0, 4.0]
    assert sender.counts == {("webhook", "sent"): 1}


async def test_a_refusal_is_final(caplog):
    """4xx is not tried again; it is logged without the URL."""
    with webhook([410]) as hook, caplog.at_level(logging.WARNING, "plb.notify"):
        sender = Sender(NotifySettings(webhook_url=hook.url + "/s3cret"))
        sender.post(notice())
        await until(lambda: sender.counts)
        await sender.close()
    assert len(hook.bodies) == 1
    assert sender.counts == {("webhook", "failed"): 1}
    assert "it answered 410" in caplog.text
    assert "s3cret" not in caplog.text


async def test_attempts_end(caplog):
    """A target that never answers is given up after the attempts that are set, and the log does not show its URL."""
    sleeps = Sleeps()
    with caplog.at_level(logging.WARNING, "plb.notify"):
        sender = Sender(NotifySettings(webhook_url=CLOSED, attempts=3), sleeps)
        sender.post(notice())
        await until(lambda: sender.counts)
        await sender.close()
    assert sleeps.asked_s == [1.0, 2.0]
    assert sender.counts == {("webhook", "failed"): 1}
    assert "s3cret" not in caplog.text


async def test_a_dead_target_does_not_hold_up_the_other():
    """Each target has its own queue."""
    with webhook([200]) as hook:
        sender = Sender(NotifySettings(webhook_url=CLOSED, slack_url=hook.url))
        for number in range(3):
            sender.post(notice(number))
        await until(lambda: len(hook.bodies) == 3)
        await sender.close(within_s=0.01)


async def test_a_full_queue_drops_the_oldest_and_posting_never_waits():
    """While a target is away at most `waiting_max` notices wait; posting is no coroutine, so 10,000 are posted in one go."""
    sender = Sender(NotifySettings(webhook_url=CLOSED, waiting_max=10))
    for number in range(10_000):
        sender.post(notice(number))
    assert not sender.counts  # nothing ran in between
    await asyncio.sleep(0.05)
    assert sender.counts["webhook", "dropped"] >= 9_980
    await sender.close(within_s=0.01)


async def test_only_wanted_kinds_are_sent():
    """A kind that is not in `kinds` is not sent."""
    with webhook([200]) as hook:
        sender = Sender(NotifySettings(webhook_url=hook.url, kinds=("migration_failed",)))
        sender.post(notice())
        sender.post(notice(kind=NoticeKind.MIGRATION_FAILED))
        await sender.close()
    assert [body["kind"] for body in hook.bodies] == ["migration_failed"]


async def test_a_balancer_is_watched_and_its_errors_outlived():
    """What the control loop shows reaches the webhook, also after looks that failed."""
    from plb_ray.errors import ControlUnavailableError  # noqa: PLC0415

    balancer = FakeBalancer(failing={"status": ControlUnavailableError("gone")})
    with webhook([200]) as hook:
        settings = NotifySettings(webhook_url=hook.url)
        sender = Sender(settings)
        async with watched(balancer, tuple, settings, sender.post, every_s=0.01):
            await asyncio.sleep(0.05)
            assert hook.bodies == []
            balancer.failing.clear()
            await until(lambda: hook.bodies)
            await asyncio.sleep(0.05)
        await sender.close()
    assert [(body["kind"], body["subject"]) for body in hook.bodies] == [("congestion_foreseen", "shard-3")]


async def test_a_demotion_is_told_whoever_made_it(tmp_path):
    """One made by `plb models demote` while the balancer runs reaches the webhook once, with who and why."""
    filled(tmp_path / "networks" / "group-0" / "short", 2)
    registry = ModelRegistry(tmp_path / "networks", wall_time_s)
    with webhook([200]) as hook:
        settings = NotifySettings(webhook_url=hook.url, kinds=("model_demoted",))
        sender = Sender(settings)
        async with watched(FakeBalancer(), registry.demotions, settings, sender.post, every_s=0.01):
            await asyncio.sleep(0.05)
            assert hook.bodies == []
            words = (
                "models",
                "demote",
                "group-0",
                "short",
                "--reason",
                "the tenant left",
                "--yes",
                "--state",
                str(tmp_path),
            )
            assert await asyncio.to_thread(cli.run, [*words]) == 0
            await until(lambda: hook.bodies)
            await asyncio.sleep(0.05)
        await sender.close()
    (body,) = hook.bodies
    assert (body["kind"], body["subject"]) == ("model_demoted", "group-0 short")
    assert body["text"].startswith("the short champion of group-0 is demoted by ")
    assert body["text"].endswith(", the baseline serves: the tenant left")

"""Sends notices to webhooks: a queue and a worker per target, so that a dead one holds up neither a tick nor the other one.

`Sender.post` returns at once, from any thread. A target's queue is bounded; when it is full the oldest notice gives way.
Refused connections, 429 and 5xx are tried again, with waits that double (a longer `Retry-After` is kept); any other answer
is final. What could not be delivered is counted and logged, with the host alone: URLs are secrets.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from plb_ray.clock import wall_time_s
from plb_ray.domain.notices import Notice, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.settings import NotifySettings

LOG = logging.getLogger("plb.notify")
FIRST_WAIT_S = 1.0
WAIT_MAX_S = 60.0
CLOSE_S, CLOSE_POLL_S = 2.0, 0.01
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOO_MANY, SERVER_ERROR, CLIENT_ERROR = 429, 500, 400


@dataclass(frozen=True)
class Target:
    """Where notices go: its name in settings and metrics, and its URL."""

    name: str
    url: str

    @property
    def host(self) -> str:
        """What may be shown of the URL."""
        return urlsplit(self.url).hostname or "?"

    def body(self, notice: Notice) -> dict[str, Any]:
        """Return what is posted: the notice itself, or what Slack understands."""
        if self.name == "slack":
            return {"text": f":warning: plb-ray: {notice.text}"}
        at = datetime.fromtimestamp(notice.at_s, UTC).isoformat().replace("+00:00", "Z")
        return {"source": "plb-ray", **asdict(notice), "at": at}


@dataclass(frozen=True)
class Tried:
    """What came of one attempt: why it failed, empty if it did not; whether to try again, and not before so many seconds."""

    error: str = ""
    again: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True)
class TargetResult:
    """What came of a test notice."""

    target: str
    host: str
    error: str


def targets_of(settings: NotifySettings) -> tuple[Target, ...]:
    """Return the targets that are set."""
    urls = (("webhook", settings.webhook_url), ("slack", settings.slack_url))
    return tuple(Target(name, url) for name, url in urls if url)


class Sender:
    """See the module. Belongs to one event loop; `post` may be called from any thread.

    Args:
        settings: of [notify].
        sleep: waits between attempts.

    Attributes:
        counts: notices by (target, outcome); outcomes are sent, failed and dropped.
    """

    def __init__(self, settings: NotifySettings, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._settings = settings
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._lanes = [(target, deque[Notice](), asyncio.Event()) for target in targets_of(settings)]
        self._workers = [asyncio.create_task(self._work(*lane), name=f"notify {lane[0].name}") for lane in self._lanes]

    def post(self, notice: Notice) -> None:
        """Let a notice be sent, if its kind is wanted; returns at once."""
        if notice.kind in (*self._settings.kinds, NoticeKind.TEST) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue, notice)

    def _queue(self, notice: Notice) -> None:
        for target, waiting, filled in self._lanes:
            if len(waiting) >= self._settings.waiting_max:
                waiting.popleft()
                self.counts[target.name, "dropped"] += 1
            waiting.append(notice)
            filled.set()

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Give what waits a moment, then stop."""
        try:
            async with asyncio.timeout(within_s):
                await asyncio.sleep(0)  # what was posted just now gets into the queues
                while any(filled.is_set() for _, _, filled in self._lanes):  # noqa: ASYNC110  of several lanes
                    await asyncio.sleep(CLOSE_POLL_S)
        except TimeoutError:
            LOG.warning("%d notices were not sent before the end", sum(len(waiting) for _, waiting, _ in self._lanes))
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self, target: Target, waiting: deque[Notice], filled: asyncio.Event) -> None:
        async with _client(target, self._settings.timeout_s) as client:
            while True:
                await filled.wait()
                while waiting:
                    await self._deliver(client, target, waiting.popleft())
                filled.clear()

    async def _deliver(self, client: httpx.AsyncClient, target: Target, notice: Notice) -> None:
        wait_s = FIRST_WAIT_S
        for attempt in range(1, self._settings.attempts + 1):
            tried = await attempt_to_send(client, target, notice)
            if not tried.error:
                self.counts[target.name, "sent"] += 1
                return
            if not tried.again or attempt == self._settings.attempts:
                break
            await self._sleep(min(WAIT_MAX_S, max(wait_s, tried.wait_s)))
            wait_s *= 2
        self.counts[target.name, "failed"] += 1
        LOG.warning("%s at %s did not take a notice: %s; it was: %s", target.name, target.host, tried.error, notice.text)


async def attempt_to_send(client: httpx.AsyncClient, target: Target, notice: Notice) -> Tried:
    """Post a notice once."""
    try:
        answer = await client.post(target.url, json=target.body(notice))
    except httpx.TimeoutException:
        return Tried("no answer in time", again=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:  # their texts may repeat the URL
        return Tried(f"cannot be reached ({type(error).__name__})", again=isinstance(error, httpx.TransportError))
    if answer.is_success:
        return Tried()
    later = answer.status_code == TOO_MANY or answer.status_code >= SERVER_ERROR
    return Tried(f"it answered {answer.status_code}", again=later, wait_s=_retry_after_s(answer))


def _retry_after_s(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("Retry-After", "0")))
    except ValueError:  # a date; the doubling waits do
        return 0.0


def _client(target: Target, timeout_s: float) -> httpx.AsyncClient:
    """Return a client; a proxy of the environment is used, but not on the way to this machine."""
    return httpx.AsyncClient(timeout=timeout_s, trust_env=target.host not in LOOPBACK)


def try_targets(settings: NotifySettings) -> tuple[TargetResult, ...]:
    """Send a test notice to every target, once each, and return what came of it."""
    text = "this is a test; nothing is wrong"
    notice = Notice(NoticeKind.TEST, "test", text, wall_time_s())

    async def tried(target: Target) -> TargetResult:
        async with _client(target, settings.timeout_s) as client:
            return TargetResult(target.name, target.host, (await attempt_to_send(client, target, notice)).error)

    async def all_tried() -> list[TargetResult]:
        return await asyncio.gather(*(tried(target) for target in targets_of(settings)))

    return tuple(asyncio.run(all_tried()))

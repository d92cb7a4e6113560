"""One whole answer as ASGI sends it, for those that look at it before the caller gets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Answer:
    """Status, headers and body of an answer; `raw` headers as ASGI has them."""

    status: int = 500
    raw: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    @property
    def headers(self) -> Headers:
        """The headers, by name."""
        return Headers(raw=self.raw)

    async def send(self, send: Send) -> None:
        """Give it to the caller."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.raw})
        await send({"type": "http.response.body", "body": self.body})


async def whole_answer(app: ASGIApp, scope: Scope, receive: Receive) -> Answer:
    """Return what an application answers, once it is complete. Not for answers that go on for ever."""
    answer, parts = Answer(), []

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.raw = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(scope, receive, keep)
    answer.body = b"".join(parts)
    return answer

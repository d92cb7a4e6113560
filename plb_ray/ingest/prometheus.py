"""One question to Prometheus: the samples of some steps, by `query_range`. Asks again when that may help; keeps no state.

    rate       evaluated at the end of each step, and taken as the step's rate: the query's own range should be one step,
               as in `sum by (order_param) (rate(messages_total[1m]))` for steps of 60 s
    counter    evaluated at both ends of each step; resets are found here, so the query must not sum over processes that
               restart on their own: leave their labels in, `messages_total` alone is right

Series that carry the same order param are summed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx
import numpy as np

from plb_ray.domain.samples import PushOutcome, SampleBatch, SampleKind, Series
from plb_ray.errors import BadInputError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.settings import PrometheusSettings

POINTS_MAX = 11_000  # of each series; Prometheus refuses to answer with more
TRIES = 4
FIRST_WAIT_S = 0.5
TIMEOUT_S = 30.0
BUSY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class PrometheusQuery:
    """What is asked for.

    Attributes:
        url: of Prometheus, for example `http://127.0.0.1:9090`; also with a path, where it lives behind one.
        query: PromQL that gives a series per order param, or several.
        label: whose value names the order param.
        kind: what the values are.
        step_s: length of the history's steps.
    """

    url: str
    query: str
    label: str
    kind: SampleKind
    step_s: int

    @classmethod
    def of(cls, settings: PrometheusSettings, step_s: int) -> Self:
        """Return what the settings ask for."""
        return cls(settings.url, settings.query, settings.label, SampleKind(settings.kind), step_s)


@dataclass(frozen=True, eq=False)
class Page:
    """An answer: samples, and how many series had no order param, as refused samples with a reason."""

    batch: SampleBatch
    outcome: PushOutcome


class PrometheusSource:
    """Asks one Prometheus. Close it.

    Args:
        asked: what for.
        transport: for tests; None goes over the network.
        sleep: waits between two tries.
    """

    def __init__(
        self,
        asked: PrometheusQuery,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not asked.url.startswith(("http://", "https://")):
            raise BadInputError(f"history.prometheus.url {asked.url!r} is not a URL such as http://127.0.0.1:9090")
        self._asked = asked
        self._sleep = sleep
        url = httpx.URL(asked.url)
        self._at = f"Prometheus at {url.scheme}://{url.netloc.decode()}{url.path.rstrip('/')}"  # netloc: without a password
        local = url.host in {"127.0.0.1", "localhost", "::1"}
        self._http = httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S, trust_env=not local)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def read(self, first_s: int, end_s: int) -> Page:
        """Return the samples of the steps that start in `first_s` .. `end_s`, both on the grid.

        Raises:
            RetryableError: Prometheus did not answer, or is too busy, several times.
            BadInputError: it refuses the query, wants another login, or the series do not have the label.
        """
        step_s, rate = self._asked.step_s, self._asked.kind is SampleKind.RATE
        start_s = first_s + step_s if rate else first_s
        assert (end_s - start_s) // step_s < POINTS_MAX
        form = {"query": self._asked.query, "start": str(start_s), "end": str(end_s), "step": str(step_s)}
        found = (await self._answer(form)).get("result", [])
        return self._page(found, shift_s=-step_s if rate else 0)

    async def _answer(self, form: dict[str, str]) -> dict[str, Any]:
        """Return `data` of the answer, asking a few times, each after twice the wait."""
        for number in range(TRIES - 1):
            try:
                return await self._ask(form)
            except RetryableError:
                await self._sleep(FIRST_WAIT_S * 2**number)
        return await self._ask(form)

    async def _ask(self, form: dict[str, str]) -> dict[str, Any]:
        url = self._asked.url.rstrip("/") + "/api/v1/query_range"
        try:
            answer = await self._http.post(url, data=form)
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise RetryableError(f"{self._at} does not answer ({why}); check that it runs") from error
        if answer.status_code in BUSY:
            raise RetryableError(f"{self._at} is too busy (status {answer.status_code})")
        return self._data(answer)

    def _data(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if isinstance(body, dict) and body.get("status") == "success" and isinstance(body.get("data"), dict):
            data: dict[str, Any] = body["data"]
            return data
        if isinstance(body, dict) and "error" in body:
            raise BadInputError(f"{self._at} refuses history.prometheus.query {self._asked.query!r}: {body['error']}")
        if answer.status_code in {401, 403}:
            raise BadInputError(f"{self._at} wants a login; give it in history.prometheus.url, as in http://NAME:WORD@HOST")
        raise BadInputError(
            f"{self._at} answers with status {answer.status_code} as no Prometheus does; check history.prometheus.url"
        )

    def _page(self, found: list[dict[str, Any]], shift_s: int) -> Page:
        named = [series for series in found if series["metric"].get(self._asked.label)]
        if found and not named:
            labels = ", ".join(sorted({label for series in found for label in series["metric"]})) or "none at all"
            raise BadInputError(
                f"no series of history.prometheus.query {self._asked.query!r} has the label {self._asked.label!r}; "
                f"they have: {labels}; set history.prometheus.label, or change the query"
            )
        batch = SampleBatch(self._asked.kind, tuple(self._series(series, shift_s) for series in named))
        return Page(batch, self._nameless(found, len(found) - len(named)))

    def _series(self, series: dict[str, Any], shift_s: int) -> Series:
        points = series.get("values", [])
        at_s = np.array([at for at, _ in points], dtype=np.float64) + shift_s
        return Series(series["metric"][self._asked.label], at_s, np.array([float(value) for _, value in points]))

    def _nameless(self, found: list[dict[str, Any]], count: int) -> PushOutcome:
        if not count:
            return PushOutcome()
        example = next(series for series in found if not series["metric"].get(self._asked.label))
        samples = sum(len(series.get("values", [])) for series in found if not series["metric"].get(self._asked.label))
        reason = f"{count} series without the label {self._asked.label!r}, for example {example['metric']}"
        return PushOutcome(refused=samples, reasons=(reason,))

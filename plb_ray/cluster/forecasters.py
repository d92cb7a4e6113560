"""The forecaster pool on Ray: order params in groups, groups on actors, all actors asked at once, the baseline at hand.

                     +-> link -> actor 0: group-0 (short, medium), hot-1 ...
    pool.forecast ---+-> link -> actor 1: group-1 (short, medium), hot-0 ...
                     +-> rows nobody answered for in time: the baseline, in this process

What a caller gets never depends on an actor being alive, trained or quick; only how good it is does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import ray

from plb_ray.cluster.assignment import read_assignment, write_assignment
from plb_ray.cluster.forecaster_link import ForecasterLink
from plb_ray.cluster.grouping import actor_of, assign_groups, parent_of
from plb_ray.control.ports import TrainingStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from plb_ray.cluster.forecaster_actor import GroupProgress
    from plb_ray.control.ports import Forecaster
    from plb_ray.domain.rates import Forecast, Horizon, RateHistory


@dataclass(frozen=True)
class PoolSettings:
    """How the pool is laid out.

    Attributes:
        actors: 1.., Ray actors; each is one process and trains on one core.
        dedicated_hot: 0.., how many of the hottest order params get a network of their own.
        timeout_s: > 0, how long `forecast` waits for an actor before the baseline answers for it.
        niceness: 0..19, priority of training; 10 yields to serving and still uses an idle core fully.
        cpus_per_actor: >= 0, what an actor reserves of Ray's CPUs; 0, because training is niced and machines may be small.
    """

    actors: int = 2
    dedicated_hot: int = 0
    timeout_s: float = 2.0
    niceness: int = 10
    cpus_per_actor: float = 0.0


class RayForecasterPool:
    """Implements `plb_ray.control.ports.ForecasterPool`. Ray must have been started; driver or actor may own the pool.

    Args:
        make_forecaster: seed -> untrained forecaster; importable on Ray's workers.
        baseline: answers for order params without a ready network, in this process.
        artifacts: folder of trained networks, on a file system that all actors see; what it holds is served at once.
        seed: of all training.
        settings: see `PoolSettings`.
    """

    def __init__(
        self,
        make_forecaster: Callable[[int], Forecaster],
        baseline: Callable[[RateHistory, Horizon], Forecast],
        artifacts: Path,
        seed: int = 1,
        settings: PoolSettings | None = None,
    ) -> None:
        self._settings = settings or PoolSettings()
        self._baseline = baseline
        self._seed = seed
        self._artifacts = artifacts.resolve()
        self._artifacts.mkdir(parents=True, exist_ok=True)
        self._group_of: dict[str, str] = read_assignment(self._artifacts)
        sample = make_forecaster(seed)
        self._lookback_s, self._training_s = sample.lookback_s, sample.training_s
        self._links = [self._link(make_forecaster, index) for index in range(self._settings.actors)]

    async def forecast(self, history: RateHistory, horizon: Horizon) -> Forecast:
        """See `ForecasterPool`."""
        recent = _recent(history, self._lookback_s)
        answers = await self._ask_actors(recent, horizon) if recent.messages_per_s.shape[1] else []
        answered = {name for answer in answers for name in answer.order_params}
        missing = tuple(name for name in recent.order_params if name not in answered)
        if missing or not answers:
            rows = recent.rows(missing) if answers else recent
            answers.append(await asyncio.to_thread(self._baseline, rows, horizon))
        return merge(recent.order_params, answers)

    def start_training(self, history: RateHistory, horizons: tuple[Horizon, ...]) -> None:
        """See `ForecasterPool`. A group that is still waiting for an earlier training is not asked twice."""
        recent = _recent(history, self._training_s)
        self._assign(recent)
        parts = self._by_group(recent)
        refs = {group: ray.put(part) for group, part in parts.items()}
        for horizon in horizons:
            for number, (group, ref) in enumerate(sorted(refs.items())):
                # a shared group sorts before the dedicated ones, so that it is trained before those that go on from it
                self._link_of(group).train(group, self._seed + number, ref, horizon, parent_of(group, refs))

    async def training(self) -> tuple[TrainingStatus, ...]:
        """See `ForecasterPool`. An actor that does not answer is shown as last seen."""
        reports = await asyncio.gather(*(link.progress(self._settings.timeout_s) for link in self._links))
        by_horizon: dict[str, list[GroupProgress]] = {}
        for report in reports:
            for (_, horizon_name), progress in report.items():
                by_horizon.setdefault(horizon_name, []).append(progress)
        return tuple(_status(name, by_horizon[name]) for name in sorted(by_horizon, reverse=True))

    async def close(self) -> None:
        """See `ForecasterPool`. Ends the actors; artifacts stay."""
        for link in self._links:
            link.kill()

    def _link(self, make_forecaster: Callable[[int], Forecaster], index: int) -> ForecasterLink:
        settings = self._settings
        return ForecasterLink(
            make_forecaster, self._artifacts, index, settings.actors, settings.niceness, settings.cpus_per_actor
        )

    def _link_of(self, group: str) -> ForecasterLink:
        return self._links[actor_of(group, len(self._links))]

    async def _ask_actors(self, recent: RateHistory, horizon: Horizon) -> list[Forecast]:
        """Return the forecasts of all groups that have one, all actors asked at once."""
        self._assign(recent)
        by_link: dict[ForecasterLink, dict[str, RateHistory]] = {}
        for group, part in self._by_group(recent).items():
            by_link.setdefault(self._link_of(group), {})[group] = part
        asked = (link.forecast(parts, horizon, self._settings.timeout_s) for link, parts in by_link.items())
        return [forecast for answer in await asyncio.gather(*asked) for forecast in answer]

    def _assign(self, recent: RateHistory) -> None:
        """Give every order param that has none yet a group, for good."""
        if recent.index.keys() <= self._group_of.keys():
            return
        loads = dict(zip(recent.order_params, recent.messages_per_s.mean(axis=1).tolist(), strict=True))
        settings = self._settings
        self._group_of = assign_groups(loads, settings.actors, settings.dedicated_hot, self._group_of)
        write_assignment(self._artifacts, self._group_of)

    def _by_group(self, recent: RateHistory) -> dict[str, RateHistory]:
        members: dict[str, list[str]] = {}
        for name in recent.order_params:
            members.setdefault(self._group_of[name], []).append(name)
        return {group: recent.rows(tuple(names)) for group, names in members.items()}


def merge(order_params: tuple[str, ...], parts: Sequence[Forecast]) -> Forecast:
    """Return one forecast of `order_params`, in this order, from parts that together hold each of them once."""
    first = parts[0]
    assert all((part.cutoff_s, part.levels, part.horizon) == (first.cutoff_s, first.levels, first.horizon) for part in parts)
    row_of = {name: row for row, name in enumerate(name for part in parts for name in part.order_params)}
    rows = [row_of[name] for name in order_params]
    sources = [source for part in parts for source in part.sources]
    values = np.concatenate([part.messages_per_s for part in parts])[rows]  # (K, H, Q)
    return replace(first, order_params=order_params, messages_per_s=values, sources=tuple(sources[row] for row in rows))


def _recent(history: RateHistory, span_s: int) -> RateHistory:
    """Return the latest `span_s` as float32: what travels to the actors."""
    recent = history.last(span_s // history.step_s)
    return replace(recent, messages_per_s=recent.messages_per_s.astype(np.float32))


def _status(horizon_name: str, groups: Sequence[GroupProgress]) -> TrainingStatus:
    failures = [group.failure for group in groups if group.failure]
    ready = sum(group.ready for group in groups)
    elsewhere = sum(group.elsewhere for group in groups)
    left = f"; {elsewhere} left to a retraining job that was training them" if elsewhere else ""
    message = f"failed: {failures[0]}" if failures else f"{ready} of {len(groups)} groups have a network{left}"
    fraction = sum(group.fraction for group in groups) / len(groups)
    return TrainingStatus(horizon_name, ready, len(groups), fraction, len(failures), message)

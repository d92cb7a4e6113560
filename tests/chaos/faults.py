"""What can be done to processes, and how long it lasts: the columns of the matrix. A victim is a child, or several.

`strike` happens while the balancer stands at the boundary; then the balancer is let go, `last` waits, and `back` brings the
victims back. A recovery is measured from the strike, or from the time the victims are back if only they could serve.
"""

from __future__ import annotations

import asyncio

from tests.chaos import jumping_clock
from tests.chaos.child import UNLIMITED
from tests.chaos.stage import CONSUMER_LEASE_S, LEASE_S

OUTLIVED_S = max(LEASE_S, CONSUMER_LEASE_S) + 0.4  # longer than all leases
ONE_BYTE = 1


class Fault:
    """Base: nothing happens. `measured`: a recovery time is asked for."""

    measured = True

    def __init__(self, least_s=0.0, most_s=0.0):
        self._least_s, self._most_s = least_s, most_s

    async def strike(self, stage, victims):
        pass

    async def last(self, _trial):
        await asyncio.sleep(_trial.rng.uniform(self._least_s, self._most_s))

    async def back(self, stage, victims):
        pass


class Kill(Fault):
    """SIGKILL, all victims in the same moment; started again a little later."""

    async def strike(self, stage, victims):
        await asyncio.gather(*(stage.children[name].kill() for name in victims))

    async def back(self, stage, victims):
        for name in sorted(victims, key="balancer".__eq__):  # shards first, as a machine would start them
            await stage.start_again(name)


class Twice(Kill):
    """Killed, started, and killed again while it recovers."""

    async def last(self, trial):
        for name in trial.victims:
            await trial.stage.start_again(name)
        await asyncio.sleep(trial.rng.uniform(0.0, 0.2))
        await self.strike(trial.stage, trial.victims)


class Gone(Kill):
    """Killed and not started again until appends flow without it."""

    async def last(self, trial):
        await trial.flows()


class Restart(Kill):
    """SIGTERM and start."""

    async def strike(self, stage, victims):
        for name in victims:
            assert await stage.children[name].terminate(), f"{name} does not end when asked to"


class Zombie(Fault):
    """SIGSTOP for longer than all leases; then it goes on as if nothing had happened, with what it knew."""

    def __init__(self):
        super().__init__(OUTLIVED_S, OUTLIVED_S + 0.3)

    async def strike(self, stage, victims):
        for name in victims:
            stage.children[name].stop()
        await stage.stand_in(on="consumer" in victims)

    async def back(self, stage, victims):
        for name in victims:
            stage.children[name].go_on()


class Full(Fault):
    """No file can grow: the disk is full. Space comes back later."""

    async def strike(self, stage, victims):
        for name in victims:
            stage.children[name].limit_files(ONE_BYTE)

    async def back(self, stage, victims):
        for name in victims:
            stage.children[name].limit_files(UNLIMITED)


class Jump(Fault):
    """The wall clock jumps by an hour, and back at the end of the case."""

    def __init__(self, there, home):
        super().__init__(0.1, 0.3)
        self._there, self._home = there, home

    async def strike(self, stage, victims):
        for name in victims:
            stage.children[name].signal(self._there)

    async def back(self, stage, victims):
        for name in victims:
            stage.children[name].signal(self._home)


class Isolated(Fault):
    """Cut off from everybody. Connections stay open and silent."""

    measured = False

    async def strike(self, stage, victims):
        for name in victims:
            stage.network.isolate(name)

    async def back(self, stage, _victims):
        stage.network.heal()


class Parted(Isolated):
    """Two victims cannot reach each other; all others reach both."""

    async def strike(self, stage, victims):
        stage.network.part(*victims)


class Slow(Isolated):
    """Every connection is slow until the migration has ended."""

    def __init__(self, how_slow):
        super().__init__()
        self._how_slow = how_slow

    async def strike(self, stage, _victims):
        stage.network.slow(self._how_slow)

    async def last(self, trial):
        await trial.ended(timeout_s=40.0)


FAULTS = {
    "kill": Kill(0.0, 0.3),
    "twice": Twice(),
    "gone": Gone(),
    "restart": Restart(),
    "zombie": Zombie(),
    "full": Full(0.1, 0.3),
    "full-long": Full(OUTLIVED_S, OUTLIVED_S + 0.2),
    "ahead": Jump(jumping_clock.AHEAD, jumping_clock.BACK),
    "behind": Jump(jumping_clock.BACK, jumping_clock.AHEAD),
    "isolated": Isolated(0.1, 0.4),
    "isolated-long": Isolated(OUTLIVED_S, OUTLIVED_S + 0.5),
    "parted": Parted(0.1, 0.4),
    "parted-long": Parted(OUTLIVED_S, OUTLIVED_S + 0.5),
    "slow-20ms": Slow(0.02),
    "slow-4mbit": Slow(4000),
}

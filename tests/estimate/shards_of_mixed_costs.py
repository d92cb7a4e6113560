"""A queue of known costs: shards that hold several order params each and report only their sums."""

from dataclasses import dataclass, field

import numpy as np

from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ResourceVector, ShardLoad


@dataclass
class MixedQueue:
    """K order params on S shards; `look()` after each `run()`.

    Attributes:
        cpu_core_s, io_bytes: (K,) true cost of a message.
        payload: (K,) bytes.
        owner: (K,) shard.
        meter_noise: deviation of what a meter says of an interval, as a share of it.
        exact: arrivals are the rates, not drawn from them.
        meter_factor: of shards whose meters tell another unit.
    """

    cpu_core_s: np.ndarray
    io_bytes: np.ndarray
    payload: np.ndarray
    owner: np.ndarray
    rng: np.random.Generator
    meter_noise: float = 0.02
    exact: bool = False
    at_s: float = 0.0
    meter_factor: dict[int, float] = field(default_factory=dict)

    def __post_init__(self):
        self.shards = int(self.owner.max()) + 1
        self.messages = np.zeros(len(self.owner), dtype=np.int64)
        self.served, self.cpu, self.io = (np.zeros(self.shards) for _ in range(3))
        self.served += 1
        self.cpu += 1e-9
        self.io += 1e-9

    def run(self, rates, seconds=60.0):
        """Let messages arrive at these rates (K,) and be served."""
        counts = np.rint(rates * seconds).astype(np.int64) if self.exact else self.rng.poisson(rates * seconds)
        self.messages += counts
        self.at_s += seconds
        for total, cost in ((self.cpu, self.cpu_core_s), (self.io, self.io_bytes)):
            spent = np.bincount(self.owner, counts * cost, self.shards)
            spent *= np.maximum(0.0, 1 + self.meter_noise * self.rng.normal(size=self.shards))
            for shard, factor in self.meter_factor.items():
                spent[shard] *= factor
            total[:] += spent
        self.served += np.bincount(self.owner, counts, self.shards)

    def look(self):
        """Return what the shards report."""
        loads = [[] for _ in range(self.shards)]
        for k, (shard, messages) in enumerate(zip(self.owner.tolist(), self.messages.tolist(), strict=True)):
            size = int(messages * self.payload[k])
            loads[shard].append(OrderParamLoad(f"op-{k}", 1, messages, size, messages, 0, 0, 0.0))
        reports = [
            ShardLoad(
                f"shard-{s}",
                self.at_s,
                ResourceVector(0.0, 1e6, 0.0),
                0.0,
                int(self.served[s]),
                0.0,
                tuple(loads[s]),
                float(self.cpu[s]),
                float(self.io[s]),
            )
            for s in range(self.shards)
        ]
        return LoadSnapshot(self.at_s, tuple(reports))

    def learn(self, model, rates, seconds=60.0, **more):
        """Return the model after one interval per row of rates (T, K)."""
        before = self.look()
        for row in rates:
            self.run(row, seconds)
            now = self.look()
            model = model.updated(before, now, **more)
            before = now
        return model

    @property
    def names(self):
        return tuple(f"op-{k}" for k in range(len(self.owner)))


def mixed_queue(seed, order_params, shards, spread=10.0, payloads=(100, 2000), **more):
    """Costs evenly spread on a logarithmic scale over a factor of `spread`; I/O: 1.5 to 6 bytes per payload byte."""
    rng = np.random.default_rng(seed)
    payload = np.exp(rng.uniform(*np.log(payloads), order_params)).round()
    cpu = 0.0005 * spread ** rng.permutation(np.linspace(0, 1, order_params))
    io = 3.0 * payload * 2 ** rng.uniform(-1, 1, order_params)
    return MixedQueue(cpu, io, payload, np.arange(order_params) % shards, rng, **more)


def daily_rates(rng, order_params, steps, base=(2.0, 40.0)):
    """Return (T, K) rates: each its own daily phase, and bursts that come and go within minutes."""
    level = np.exp(rng.uniform(*np.log(base), order_params))
    day = 1 + 0.7 * np.sin(2 * np.pi * (np.arange(steps)[:, None] / 1440 + rng.uniform(0, 1, order_params)))
    drift = np.zeros((steps, order_params))
    for t in range(1, steps):
        drift[t] = 0.9 * drift[t - 1] + 0.25 * rng.normal(size=order_params)
    return level * day * np.exp(drift)

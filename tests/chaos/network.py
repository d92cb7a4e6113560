"""Networks between the processes of a stage that can be cut and slowed.

`Namespaces` (root, Linux): each process that serves lives in a network namespace of its own, joined by a bridge; a cut is
`ip link set down` or a blackhole route, so packets vanish as with a real cut. `Proxies` (anywhere): a TCP proxy in front of
each server, which stops forwarding, or forwards late. `Loopback` cuts nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess

from tests.chaos.proxy import Proxy

SERVERS = ("shard-0", "shard-1", "shard-2", "balancer")


class Loopback:
    """Everything on 127.0.0.1."""

    name = "loopback"

    async def start(self):
        pass

    async def close(self):
        pass

    def prefix(self, _server):
        return ()

    def listen(self, _server):
        return "127.0.0.1:0"

    async def serving(self, _server, endpoint):
        """Return where others reach a server that listens at `endpoint`."""
        return endpoint

    def heal(self):
        pass


class Proxies(Loopback):
    """A proxy per server. `isolate` cuts a server from all others, `slow` delays every chunk of bytes each way."""

    name = "proxy"

    def __init__(self):
        self._proxies = {}

    async def close(self):
        await asyncio.gather(*(proxy.close() for proxy in self._proxies.values()))

    async def serving(self, server, endpoint):
        if server not in self._proxies:
            self._proxies[server] = Proxy(endpoint)
            await self._proxies[server].start()
        return self._proxies[server].endpoint

    def isolate(self, server):
        self._proxies[server].cut = True

    def slow(self, delay_s):
        for proxy in self._proxies.values():
            proxy.delay_s = delay_s

    def heal(self):
        for proxy in self._proxies.values():
            proxy.heal()


class Namespaces(Loopback):
    """A namespace per server and a bridge; clients and the driver are in the root namespace, on the bridge's address."""

    name = "namespaces"

    def __init__(self, number=0):
        self._tag = f"plb{os.getpid() % 100_000}{'abcdefgh'[number]}"
        self._net = f"10.{200 + os.getpid() % 50}.{(os.getpid() // 50) % 200 + number}"
        self._cut = []

    @staticmethod
    def available():
        """Say whether this process may make namespaces here."""
        if os.geteuid() or not shutil.which("ip"):
            return False
        name = f"plbtry{os.getpid() % 100_000}"
        made = [f"ip netns add {name}", f"ip link add {name} type bridge", f"ip link del {name}", f"ip netns del {name}"]
        worked = [_quiet(command) for command in made]  # all of them, so that nothing is left
        return all(worked)

    async def start(self):
        await asyncio.to_thread(self._make)

    async def close(self):
        await asyncio.to_thread(self._unmake)

    def prefix(self, server):
        return ("ip", "netns", "exec", self._space(server)) if server in SERVERS else ()

    def listen(self, server):
        return f"{self._address(server)}:0"

    def isolate(self, server):
        """Take a server's cable out."""
        _run(f"ip link set {self._cable(server)} down")
        self._cut.append(f"ip link set {self._cable(server)} up")

    def part(self, one, other):
        """Let no packet of one reach the other: no connection between the two works, all others do."""
        route = f"{self._address(other)}/32"
        _run(f"{' '.join(self.prefix(one))} ip route add blackhole {route}")
        self._cut.append(f"{' '.join(self.prefix(one))} ip route del blackhole {route}")

    def slow(self, kbit_per_s):
        """Squeeze every cable, both ways."""
        for server in SERVERS:
            shape = f"root tbf rate {kbit_per_s}kbit burst 8kb latency 300ms"
            _run(f"tc qdisc add dev {self._cable(server)} {shape}")
            _run(f"{' '.join(self.prefix(server))} tc qdisc add dev eth0 {shape}")
            self._cut.append(f"tc qdisc del dev {self._cable(server)} root")
            self._cut.append(f"{' '.join(self.prefix(server))} tc qdisc del dev eth0 root")

    def heal(self):
        while self._cut:
            _run(self._cut.pop())

    def _make(self):
        bridge = f"{self._tag}b"
        _run(f"ip link add {bridge} type bridge")
        _run(f"ip addr add {self._net}.1/24 dev {bridge}")
        _run(f"ip link set {bridge} up")
        for server in SERVERS:
            space, cable = self._space(server), self._cable(server)
            _run(f"ip netns add {space}")
            _run(f"ip link add {cable} type veth peer name eth0 netns {space}")
            _run(f"ip link set {cable} master {bridge} up")
            _run(f"ip netns exec {space} ip addr add {self._address(server)}/24 dev eth0")
            _run(f"ip netns exec {space} ip link set eth0 up")
            _run(f"ip netns exec {space} ip link set lo up")

    def _unmake(self):
        for server in SERVERS:
            _quiet(f"ip netns del {self._space(server)}")
        _quiet(f"ip link del {self._tag}b")

    def _space(self, server):
        return f"{self._tag}-{server}"

    def _cable(self, server):
        return f"{self._tag}{SERVERS.index(server)}"

    def _address(self, server):
        return f"{self._net}.{SERVERS.index(server) + 2}"


def _run(command):
    subprocess.run(command.split(), check=True, capture_output=True, timeout=10)


def _quiet(command):
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command.split(), check=False, capture_output=True, timeout=10).returncode == 0
    return False

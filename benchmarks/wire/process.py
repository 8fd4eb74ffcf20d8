"""Processes of a measurement: each is this benchmark in a role; the server's last line has the figures."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "bench_wire.py"

#: What a server prints when the round that only warms up is over.
WARM = "warm"
_LIMIT_SECONDS = 900.0
_SWARM = 16


def worker(role: str, *arguments: str, quiet: bool = False) -> subprocess.Popen[bytes]:
    """Start a process in a role; ``quiet`` for clients that end badly when their server does."""
    environment = {**os.environ, "GRPC_VERBOSITY": "NONE", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), role, *arguments]
    errors = subprocess.DEVNULL if quiet else None
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=ROOT)


def answer(server: subprocess.Popen[bytes], clients: list[subprocess.Popen[bytes]]) -> dict[str, float]:
    """Return what the server prints, and end the clients.

    Returns:
        The server's figures, and ``cpu_seconds``: of all processes together, from the server's line that it is warm
        to its last. On a machine that other work shares it says more than the time on the wall.
    """
    limit = threading.Timer(_LIMIT_SECONDS, server.kill)
    limit.start()
    try:
        assert server.stdout is not None
        before, last = 0.0, b""
        for line in server.stdout:
            if line.strip() == WARM.encode():
                before = _cpu(server, *clients)
            last = line
        found: dict[str, float] = json.loads(last)
        return {**found, "cpu_seconds": _cpu(server, *clients) - before}
    finally:
        limit.cancel()
        for process in (server, *clients):
            process.kill()
            process.wait()


def swarms(count: int) -> list[tuple[str, str]]:
    """Return the (first, how many) of processes that are so many sites together.

    The threads of more than some would be in each other's way: the sites would be measured, not the aggregator.
    """
    return [(str(first), str(min(_SWARM, count - first))) for first in range(0, count, _SWARM)]


def _cpu(*processes: subprocess.Popen[bytes]) -> float:
    """Return the seconds that processes have computed; one that has ended and was not waited for still tells."""
    return sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in processes)


def certificates(folder: Path, peers: int) -> None:
    """Issue for an aggregator and so many sites."""
    from authority import Authority

    authority = Authority()
    authority.issue(folder / "aggregator", "aggregator", role="aggregator")
    for number in range(peers):
        authority.issue(folder / f"site-{number}", f"site-{number}")


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ms(seconds: float) -> float:
    """Return milliseconds."""
    return round(seconds * 1000, 2)


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Peak:
    """Looks at this process's resident memory a hundred times a second."""

    def __init__(self) -> None:
        self.most = resident()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, resident())
            time.sleep(0.01)

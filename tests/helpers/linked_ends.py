"""Two namespaces and a link between them, as the twin has one between two VPCs; and how the link is measured.

Run as ``python linked_ends.py SCENARIO`` by :func:`alone`, in mount and network namespaces of its own; what the
scenario returns is printed as one line of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
sys.path[:0] = [str(CHECKOUT)]

from infra.local.twin.network.conditions import Emulated  # noqa: E402
from infra.local.twin.network.layout import Link  # noqa: E402
from infra.local.twin.network.links import Links  # noqa: E402

LEFT, RIGHT = "10.66.0.1", "10.66.0.2"
CABLE = Link("pcx-0", "wan", "br0", "near0", "far0", ("left", "right"), ("left", "right"), "px0")
#: What a packet of a bulk transfer carries of 1500 bytes: IP, TCP and timestamps take 52.
PAYLOAD_SHARE = 1448 / 1500
#: A transfer that is measured takes so long, or is so large; TCP finds its speed in the first third.
_BULK_SECONDS = 6.0
_BULK_UNCAPPED = 600 << 20
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def command(*inside: str, as_user: bool = False) -> list[str]:
    """Return the command that runs another in mount and network namespaces of its own.

    Args:
        inside: the command.
        as_user: as an ordinary user would, with a user namespace; always so where the caller is one.
    """
    user = ["--user", "--map-root-user"] if as_user or os.geteuid() else []
    start = 'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && exec "$@"'
    return ["unshare", *user, "--mount", "--net", "--propagation", "private", "sh", "-c", start, "sh", *inside]


def alone(scenario: str, *arguments: object, as_user: bool = False, timeout: float = 120) -> Any:
    """Run a scenario in namespaces of its own and return its result."""
    inside = [sys.executable, str(Path(__file__)), scenario, *map(str, arguments)]
    done = subprocess.run(
        command(*inside, as_user=as_user), capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def impossible() -> str | None:
    """Say what this machine lacks; None if the scenarios can run."""
    try:
        probe = "ip netns add probe && ip link add probe type bridge"
        done = subprocess.run(command("sh", "-c", probe), capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    return done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else None


@contextlib.contextmanager
def linked() -> Iterator[tuple[Links, Link]]:
    """Make the namespaces and a healthy link; afterwards no emulator is left."""
    cable, links = CABLE, Links(seed=7)
    for name in ("left", "right", cable.namespace):
        _ip("netns", "add", name)
    _ip("-n", "wan", "link", "add", cable.bridge, "type", "bridge")
    _ip("-n", "wan", "link", "set", cable.bridge, "up")
    _plug("left", LEFT, cable.near)
    _plug("right", RIGHT, cable.far)
    try:
        yield links, cable
    finally:
        links.close()


def _plug(name: str, address: str, end: str) -> None:
    _ip("-n", "wan", "link", "add", end, "type", "veth", "peer", "name", "px0", "netns", name)
    _ip("-n", "wan", "link", "set", end, "master", CABLE.bridge, "up")
    _ip("-n", name, "addr", "add", f"{address}/24", "dev", "px0")
    _ip("-n", name, "link", "set", "px0", "up")


def socket_in(namespace: str, kind: socket.SocketKind) -> socket.socket:
    """Make a socket that belongs to a namespace; it stays there whoever uses it."""
    with Path("/proc/self/ns/net").open() as home, Path(f"/run/netns/{namespace}").open() as there:
        for target in (there, home):
            if _libc.setns(target.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            if target is there:
                made = socket.socket(socket.AF_INET, kind)
    return made


class Echo:
    """Answers every datagram on the right side until it is closed."""

    def __init__(self) -> None:
        self._socket = socket_in("right", socket.SOCK_DGRAM)
        self._socket.bind((RIGHT, 7))
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(2048)
            with contextlib.suppress(OSError):
                self._socket.sendto(data, sender)


def round_trips_ms(number: int, *, timeout: float = 2.0, interval: float = 0.0) -> list[float]:
    """Send datagrams to the echo, one after the other answer; return the round trips of those that came back."""
    with socket_in("left", socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout)
        took = []
        for index in range(number):
            began = time.monotonic()
            asking.sendto(index.to_bytes(4, "big"), (RIGHT, 7))
            with contextlib.suppress(TimeoutError):
                while int.from_bytes(asking.recv(2048), "big") != index:
                    pass
                took.append((time.monotonic() - began) * 1000)
            if interval:
                threading.Event().wait(interval)
    return took


def answered(number: int, *, wait: float = 1.0) -> int:
    """Send that many datagrams at a quick pace and return how many came back."""
    with socket_in("left", socket.SOCK_DGRAM) as asking:
        asking.settimeout(wait)
        came = 0
        for start in range(0, number, 50):
            for index in range(start, min(start + 50, number)):
                asking.sendto(index.to_bytes(4, "big"), (RIGHT, 7))
            threading.Event().wait(0.01)
            asking.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while asking.recv(64):
                    came += 1
        asking.settimeout(wait)
        with contextlib.suppress(TimeoutError):
            while asking.recv(64):
                came += 1
    return came


def bulk_mbit(total: int, *, skip: int = 0) -> float:
    """Send ``total`` bytes over TCP from left to right; return the rate of IP packets, 10^6 bits a second.

    Args:
        total: bytes.
        skip: bytes that are not measured, while TCP finds its speed.
    """
    with socket_in("right", socket.SOCK_STREAM) as listening, socket_in("left", socket.SOCK_STREAM) as sending:
        listening.bind((RIGHT, 0))
        listening.listen(1)
        port = listening.getsockname()[1]
        child = os.fork()
        if child == 0:
            with contextlib.suppress(OSError):
                sending.connect((RIGHT, port))
                block = memoryview(bytes(1 << 20))
                for _ in range(total >> 20):
                    sending.sendall(block)
                sending.shutdown(socket.SHUT_WR)
                sending.recv(1)
            os._exit(0)
        sending.close()
        stream, _ = listening.accept()
        with stream:
            came, began, before = 0, time.monotonic(), 0
            buffer = bytearray(1 << 20)
            while True:
                size = stream.recv_into(buffer)
                now = time.monotonic()
                if not size:
                    break
                came += size
                last = now
                if came >= skip and not before:
                    began, before = now, came
        os.waitpid(child, 0)
        return (came - before) * 8 / (last - began) / 1e6 / PAYLOAD_SHARE


def conditions(latency: float, rate: float) -> dict[str, float]:
    """Measure an emulated link, not limited in rate if that is 0: ``{"rtt_ms", "mbit"}``."""
    with linked() as (links, cable):
        Echo()
        links.shape(cable, Emulated(latency_ms=latency, rate_mbit=rate or None))
        return _measured(rate)


def healthy() -> dict[str, float]:
    """Measure a link that the kernel's bridge carries."""
    with linked():
        Echo()
        return _measured(0)


def _measured(rate: float) -> dict[str, float]:
    rtt = statistics.median(round_trips_ms(25))
    total = int(rate * 1e6 / 8 * _BULK_SECONDS) if rate else _BULK_UNCAPPED
    return {"rtt_ms": rtt, "mbit": bulk_mbit(total, skip=total // 3)}


def sent_whole(loss: float, total: int) -> dict[str, Any]:
    """Send bytes over TCP through a lossy link: whether they came as they were, and what was lost of them."""
    with linked() as (links, cable):
        links.shape(cable, Emulated(latency_ms=2, loss_percent=loss))
        with socket_in("right", socket.SOCK_STREAM) as listening, socket_in("left", socket.SOCK_STREAM) as sending:
            listening.bind((RIGHT, 9))
            listening.listen(1)
            sent = random.Random(1).randbytes(total)
            came = bytearray()

            def receive() -> None:
                stream, _ = listening.accept()
                with stream:
                    while part := stream.recv(1 << 20):
                        came.extend(part)

            receiver = threading.Thread(target=receive)
            receiver.start()
            sending.connect((RIGHT, 9))
            sending.sendall(sent)
            sending.shutdown(socket.SHUT_WR)
            receiver.join(60)
        return {"whole": bytes(came) == sent, "counts": links.counts(cable)}


def share_answered(loss: float, number: int) -> float:
    """Return the share of datagrams that came there and back."""
    with linked() as (links, cable):
        Echo()
        round_trips_ms(1)  # who has which address is known, and not lost
        links.shape(cable, Emulated(loss_percent=loss))
        return answered(number) / number


def cut_and_healed() -> dict[str, Any]:
    """Return how many of 3 datagrams were answered on the healthy, the cut and the healed link, and after a shaping."""
    with linked() as (links, cable):
        Echo()
        found: dict[str, Any] = {"healthy": len(round_trips_ms(3))}
        links.cut(cable)
        found["cut"] = len(round_trips_ms(3, timeout=0.2))
        found["routes"] = _told("-n", "left", "route")
        links.heal(cable)
        found["healed"] = len(round_trips_ms(3))
        links.shape(cable, Emulated(latency_ms=30))
        found["shaped"] = len(round_trips_ms(3))
        links.cut(cable)
        found["cut again"] = len(round_trips_ms(3, timeout=0.2))
        links.shape(cable, Emulated(latency_ms=30))
        links.heal(cable)
        found["healed again"] = len(round_trips_ms(3))
        found["healed_ms"] = statistics.median(round_trips_ms(15))
        found["emulators"] = len(emulators())
        return found


def changed_on_the_way() -> dict[str, Any]:
    """Send 40 datagrams into a slow link, change it while they are on their way, and return the order of arrival."""
    with linked() as (links, cable), socket_in("left", socket.SOCK_DGRAM) as asking:
        Echo()
        round_trips_ms(1)
        links.shape(cable, Emulated(latency_ms=1000, rate_mbit=1))
        for index in range(40):
            asking.sendto(index.to_bytes(4, "big") + bytes(1000), (RIGHT, 7))
        links.shape(cable, Emulated(latency_ms=10))
        asking.settimeout(5)
        return {"order": [int.from_bytes(asking.recv(2048)[:4], "big") for _ in range(40)]}


def jittered(latency: float, jitter: float) -> list[float]:
    """Return the round trips of a link with jitter, milliseconds."""
    with linked() as (links, cable):
        Echo()
        links.shape(cable, Emulated(latency_ms=latency, jitter_ms=jitter))
        return round_trips_ms(60)


def emulator_killed() -> dict[str, int]:
    """Kill the emulator: what the link carries then, and once it was shaped anew."""
    with linked() as (links, cable):
        Echo()
        links.shape(cable, Emulated(latency_ms=4))
        found = {"before": len(round_trips_ms(3))}
        (process,) = emulators()
        os.kill(process, signal.SIGKILL)
        found["dead"] = len(round_trips_ms(3, timeout=0.2))
        links.shape(cable, Emulated(latency_ms=4))
        found["shaped anew"] = len(round_trips_ms(3))
        return found


def made_anew() -> dict[str, int]:
    """Delete one end of a shaped link, make it anew and shape it again."""
    with linked() as (links, cable):
        Echo()
        links.shape(cable, Emulated(latency_ms=4))
        found = {"before": len(round_trips_ms(3))}
        _ip("-n", "wan", "link", "set", cable.near, "down")
        _ip("-n", "wan", "link", "set", cable.near, "up")
        found["down and up"] = len(round_trips_ms(3))
        _ip("-n", "wan", "link", "del", cable.near)
        deadline = time.monotonic() + 10
        while emulators() and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        found["emulators"] = len(emulators())
        _plug("left", LEFT, cable.near)
        links.shape(cable, Emulated(latency_ms=4))
        found["anew"] = len(round_trips_ms(3))
        return found


def keeper_killed() -> dict[str, int]:
    """Kill who shaped the link; return how many emulators there were, and how many are left within 10 s."""
    child = os.fork()
    if child == 0:
        with linked() as (links, cable):
            links.shape(cable, Emulated(latency_ms=4))
            threading.Event().wait()
    deadline = time.monotonic() + 30
    while not (found := emulators()) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    deadline = time.monotonic() + 10
    while emulators() and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return {"before": len(found), "after": len(emulators())}


def emulators() -> list[int]:
    """Return the processes that carry frames in one of our namespaces."""
    ours = {path.stat().st_ino for path in Path("/run/netns").iterdir()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_one = b"infra.local.twin.network.emulator" in (folder / "cmdline").read_bytes()
            if is_one and (folder / "ns" / "net").stat().st_ino in ours:
                found.append(int(folder.name))
    return found


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _told(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


SCENARIOS: dict[str, Any] = {
    scenario.__name__: scenario
    for scenario in (
        conditions,
        healthy,
        sent_whole,
        share_answered,
        cut_and_healed,
        changed_on_the_way,
        jittered,
        emulator_killed,
        made_anew,
        keeper_killed,
    )
}


if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](*map(json.loads, sys.argv[2:]))))

"""The twin's world: a network, processes and mounts of its own, as root or any user; it dies with its first process."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local import process
from infra.local.twin.depth import Depth, missing

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).parents[3]
DEADLINE_SECONDS = 20
NOBODY = 65534

#: Tells, as JSON lines, how it looks in a world; then waits for a signal.
KEEPER = """
import json, os, signal, subprocess, sys, threading, urllib.request
from infra.local.twin.world import outside
from infra.local.twin.world.relay import Relay
address = ("127.0.0.1", int(sys.argv[1]))
def keeper(asked):
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Relay(address, asked)
    subprocess.run(["ip", "netns", "add", "a"], check=True)
    child = subprocess.Popen(["sleep", "600"])
    subprocess.run("sleep 601 &", shell=True, check=True)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    told = {
        "pid": os.getpid(), "uid": os.getuid(), "processes": len([n for n in os.listdir("/proc") if n.isdigit()]),
        "links": sorted(os.listdir("/proc/sys/net/ipv4/conf")),
        "namespaces": os.listdir("/run/netns"),
        "shared": [l.split()[6].startswith("shared:") for l in open("/proc/self/mountinfo") if l.split()[4] == "/"],
        "heard": opener.open("http://127.0.0.1:%d/" % address[1]).read().decode(),
    }
    print(json.dumps(told), flush=True)
    stop.wait()
    return 7
sys.exit(outside.live(address, keeper))
"""


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    lacks = missing(Depth.NETWORK)
    if lacks:
        pytest.skip(" ".join(map(str, lacks)))


@pytest.fixture
def server() -> Iterator[int]:
    """Something that answers on the host's loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from outside")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made.server_port
    made.shutdown()


@pytest.fixture
def world(server: int) -> Iterator[Callable[..., tuple[subprocess.Popen[str], dict[str, Any]]]]:
    made: list[subprocess.Popen[str]] = []

    def make(user: int | None = None) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        where = os.pathsep.join([str(CHECKOUT), *filter(None, sys.path)])
        child = subprocess.Popen(
            [_python(user), "-c", KEEPER, str(server)],
            env={**os.environ, "PYTHONPATH": where, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
            stdout=subprocess.PIPE,
            text=True,
        )
        made.append(child)
        assert child.stdout is not None
        return child, json.loads(child.stdout.readline())

    yield make
    for child in made:
        child.kill()
        child.wait()


def _python(user: int | None) -> str:
    """Return an interpreter that this user may run: the one of the tests can lie in a folder of root's own."""
    if user is None:
        return sys.executable
    found = next((path for path in ("/usr/bin/python3", sys.executable) if os.access(path, os.X_OK)), sys.executable)
    return found


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize("user", [None, NOBODY])
def test_in_the_world_one_is_root_alone_and_reaches_aws_on_loopback_and_nothing_else(
    world: Callable[..., Any], user: int | None
) -> None:
    if user is not None and os.geteuid() != 0:
        pytest.skip("another user can be tried by root only; as this user the other case was run")
    _, told = world(user)
    assert told["uid"] == 0
    assert told["processes"] <= 5
    assert told["links"] == ["all", "default", "lo"]
    assert told["namespaces"] == ["a"]
    assert told["heard"] == "from outside"


def test_outside_nothing_of_it_is_to_be_seen(world: Callable[..., Any]) -> None:
    before = _seen_outside()
    world()
    assert _seen_outside() == before


def test_its_mounts_are_shared_within_it_so_that_what_is_unmounted_is_nowhere_any_more(
    world: Callable[..., Any],
) -> None:
    shared = world()[1]["shared"]
    assert shared
    assert all(shared)


def test_two_worlds_do_not_meet(world: Callable[..., Any]) -> None:
    """Each makes a namespace of the same name and listens on the same port."""
    _, first = world()
    _, second = world()
    assert first == second


def test_a_signal_reaches_the_keeper_and_its_code_comes_out(world: Callable[..., Any]) -> None:
    child, _ = world()
    child.send_signal(signal.SIGTERM)
    assert child.wait(DEADLINE_SECONDS) == 7


@pytest.mark.parametrize("victim", ["outside", "first", "keeper"])
def test_whoever_is_killed_everything_in_the_world_is_gone(world: Callable[..., Any], victim: str) -> None:
    child, _ = world()
    first = _child_of(child.pid)
    keeper = _child_of(first)
    everything = {first, keeper, *_descendants(first)}
    marks = {pid: process.started_at(pid) for pid in everything}
    assert len(everything) >= 4  # the two that sleep are among them
    os.kill({"outside": child.pid, "first": first, "keeper": keeper}[victim], signal.SIGKILL)
    child.wait(DEADLINE_SECONDS)
    wait_until(lambda: not [pid for pid, began in marks.items() if began and process.is_running(pid, began)])


def test_a_listener_made_outside_is_served_from_within(server: int) -> None:
    script = (
        "import socket, sys\nfrom infra.local.twin.world import outside\n"
        "listener = socket.create_server(('127.0.0.1', 0))\nprint(listener.getsockname()[1], flush=True)\n"
        "def keeper(asked):\n    end, _ = listener.accept()\n    end.sendall(b'from within')\n    return 0\n"
        "sys.exit(outside.live(('127.0.0.1', 9), keeper))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child, socket.create_connection(("127.0.0.1", int(child.stdout.readline())), timeout=10) as end:
        assert end.recv(100) == b"from within"


def _seen_outside() -> tuple[list[str], list[str], str]:
    named = Path("/run/netns")
    namespaces = sorted(path.name for path in named.iterdir()) if named.exists() else []
    links = sorted(path.name for path in Path("/sys/class/net").iterdir())
    return namespaces, links, Path("/proc/self/mounts").read_text()


def _child_of(pid: int) -> int:
    wait_until(lambda: _children(pid))
    return _children(pid)[0]


def _children(pid: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _descendants(pid: int) -> set[int]:
    found = set(_children(pid))
    return found.union(*(_descendants(child) for child in found))

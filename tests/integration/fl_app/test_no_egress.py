"""In a network namespace without a way out a federation starts at once, and sends nothing but to the hub.

The namespace has a loopback, and one end of a cable as its default route: what anybody sends to the world is counted
there. A second test hears every connection and look-up that Python itself makes, in each process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fl_processes import Federation

pytestmark = pytest.mark.integration
HELPERS = Path(__file__).parents[2] / "helpers"

INSIDE = """
import json, subprocess, sys, time
from pathlib import Path
sys.path[:0] = [{helpers!r}]
from fl_processes import Federation
def ip(*words):
    subprocess.run(["ip", *words], check=True)
ip("link", "set", "lo", "up")
ip("link", "add", "world", "type", "veth", "peer", "name", "beyond")
ip("link", "set", "beyond", "up")
ip("addr", "add", "192.0.2.2/24", "dev", "world")
ip("link", "set", "world", "up")
ip("route", "add", "default", "via", "192.0.2.1")
def packets():
    statistics = Path("/proc/net/dev").read_text()
    return int(next(l for l in statistics.splitlines() if "world:" in l).split(":")[1].split()[9])
Path("/proc/sys/net/ipv6/conf/world/disable_ipv6").write_text("1")  # the kernel's own neighbour discovery
time.sleep(0.2)
before = packets()
began = time.monotonic()
run = Federation(Path(sys.argv[1]), rounds=3)
try:
    run.start_all()
    codes = [run.exit_code(node, 100) for node in (*run.sites, "aggregator")]
    seconds = time.monotonic() - began
    sent = packets() - before
finally:
    run.end()
import socket
try:
    socket.create_connection(("203.0.113.1", 443), timeout=0.3)
except OSError:
    pass
print(json.dumps({{"codes": codes, "seconds": seconds, "sent": sent, "control": packets() - before - sent,
                  "logs": {{n: run.log(n)[-500:] for n in (*run.sites, "aggregator")}}}}))
"""


def _can() -> str | None:
    """Say why there is no namespace to be had, or None."""
    for tool in ("unshare", "ip"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    tried = subprocess.run(
        [*_unshare(), "ip", "link", "add", "probe", "type", "veth"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip() or "not allowed" if tried.returncode else None


def _unshare() -> list[str]:
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]


@pytest.fixture(scope="module")
def _namespace() -> None:
    reason = _can()
    if reason:
        pytest.skip(f"no network namespace: {reason}")


@pytest.mark.usefixtures("_namespace")
def test_without_a_way_out_a_federation_starts_at_once_and_sends_nothing_to_the_world(tmp_path: Path) -> None:
    code = INSIDE.format(helpers=str(HELPERS))
    done = subprocess.run(
        [*_unshare(), sys.executable, "-c", code, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["codes"] == [0, 0, 0], found["logs"]
    assert found["sent"] == 0
    assert found["control"] > 0  # a packet to the world would have been counted
    assert found["seconds"] < 60  # FedML's own start waits for minutes here


WATCH = """
import atexit, json, os, sys
_told = open(os.environ["WATCH_FILE"] + f".{os.getpid()}", "a", buffering=1)
def _hear(event, told):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind"):
        _told.write(json.dumps([event, str(told[1] if event.startswith("socket.c") or "send" in event or "bind" in event
                                             else told[:2])]) + chr(10))
sys.addaudithook(_hear)
"""


def test_python_connects_to_nothing_and_looks_nothing_up_in_a_whole_run(
    make_federation: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GRPC's own sockets are not Python's: what is left must be nothing but the diagnosis, which dials the hub."""
    run: Federation = make_federation(rounds=2)  # type: ignore[operator]
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    monkeypatch.setattr("fl_processes.PLUGINS", f"{HELPERS / 'plugins'}:{tmp_path}")
    monkeypatch.setenv("WATCH_FILE", str(tmp_path / "heard"))
    began = time.monotonic()
    run.start_all()
    for node in (*run.sites, "aggregator"):
        assert run.exit_code(node) == 0, run.log(node)
    assert time.monotonic() - began < 60
    files = list(tmp_path.glob("heard.*"))
    heard = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(files) >= 3
    allowed = f"('127.0.0.1', {run.port})"
    assert [one for one in heard if one[1] != allowed and one[0] != "socket.getaddrinfo"] == []
    assert all("127.0.0.1" in one[1] for one in heard if one[0] == "socket.getaddrinfo")

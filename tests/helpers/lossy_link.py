"""Run a federation over a cable that loses packets: ``python lossy_link.py FOLDER LOSS ROUNDS`` in a network namespace.

The namespace is the cable's. Two more are made in it, one for the aggregator and one for the sites, each with one end;
what is sent from one to the other passes through this process, which drops a share of the packets in each direction. No
kernel module is needed for that. What came of the run is printed as one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "plugins")]

from fault_federation import SEED, SITES, FaultFederation  # noqa: E402
from fl_processes import PLANNED  # noqa: E402

_SOL_PACKET, _VNET_HEADER, _IGNORE_OUTGOING = 263, 15, 23
_ALL_PROTOCOLS, _PROMISCUOUS, _ADD_MEMBERSHIP = 3, 1, 1
_LONGEST = 70_000


class Cable:
    """Two ends, and what is carried between them; counts what passes and what is lost."""

    def __init__(self, ends: tuple[str, str], loss: float) -> None:
        self._sockets = [self._listen(end) for end in ends]
        self._loss, self._chance = loss, random.Random(SEED)
        self.passed = self.lost = 0
        threading.Thread(target=self._carry, daemon=True).start()

    @staticmethod
    def _listen(interface: str) -> socket.socket:
        found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        found.setsockopt(_SOL_PACKET, _VNET_HEADER, 1)  # packets may be larger than the cable, their sums unfinished
        found.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        found.bind((interface, _ALL_PROTOCOLS))
        membership = struct.pack("IHH8s", socket.if_nametoindex(interface), _PROMISCUOUS, 0, b"")
        found.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        return found

    def _carry(self) -> None:
        with contextlib.suppress(OSError):  # the ends are gone
            while True:
                for ready in select.select(self._sockets, [], [])[0]:
                    packet = ready.recv(_LONGEST)
                    if self._chance.random() < self._loss:
                        self.lost += 1
                        continue
                    self.passed += 1
                    self._sockets[1 - self._sockets.index(ready)].send(packet)


class FarFederation(FaultFederation):
    """Its sites dial the aggregator's address at the other end of the cable."""

    def environment(self, node: str) -> dict[str, str]:
        return {**super().environment(node), "FEDERATE_ADDRESS_MAP": f"{PLANNED}=192.0.2.1:{self.port}"}


def namespace(end: str, address: str) -> subprocess.Popen[bytes]:
    """Make a namespace at one end of the cable; it lasts as long as the process that holds it."""
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=-1, stdout=-1)
    assert holder.stdout
    holder.stdout.readline()
    ip("link", "add", end, "type", "veth", "peer", "name", "cable", "netns", str(holder.pid))
    ip("link", "set", end, "up")
    inside = ["nsenter", "-t", str(holder.pid), "-n", "ip"]
    for words in (
        ["link", "set", "lo", "up"],
        ["addr", "add", address, "dev", "cable"],
        ["link", "set", "cable", "up"],
    ):
        subprocess.run([*inside, *words], check=True)
    return holder


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def main(folder: str, loss: str, rounds: str) -> None:
    """Run it."""
    holders = [namespace("hub", "192.0.2.1/24"), namespace("far", "192.0.2.2/24")]
    cable = Cable(("hub", "far"), float(loss))
    run = FarFederation(Path(folder), rounds=int(rounds))
    for node in ("aggregator", *SITES):
        run.prefixes[node] = ["nsenter", "-t", str(holders[node != "aggregator"].pid), "-n", "--"]
    began = time.monotonic()
    try:
        run.start_all()
        codes = [run.exit_code(node, 200) for node in ("aggregator", *SITES)]
        print(
            json.dumps(
                {
                    "codes": codes,
                    "seconds": time.monotonic() - began,
                    "model_sha256": run.model_digest(),
                    "round_seconds": [record["seconds"] for record in run.rounds()],
                    "answered": [record["answered"] for record in run.rounds()],
                    "passed": cable.passed,
                    "lost": cable.lost,
                    "left_behind": run.left_behind(),
                }
            )
        )
    finally:
        run.end()
        for holder in holders:
            holder.communicate(b"")


if __name__ == "__main__":
    main(*sys.argv[1:])

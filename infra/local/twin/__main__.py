"""``python -m infra.local.twin``: gives the deployed instances their bodies, until a signal ends it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

from infra.local.twin.depth import Depth


def main() -> int:
    """Run the twin; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.twin", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="where the bodies live")
    parser.add_argument("--depth", type=Depth, default=Depth.PROCESSES, choices=list(Depth), help="how deep it goes")
    parser.add_argument("--tunnels", type=int, required=True, metavar="FD", help="a listening socket for tunnels")
    parser.add_argument("--tag", required=True, help="names this twin among the machine's control groups")
    parser.add_argument("--base", type=Path, metavar="DIR", help="the root that machines share")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    tunnels = socket.socket(fileno=options.tunnels)
    if options.depth is Depth.PROCESSES:
        tunnels.close()  # where there is no network, there is nothing to tunnel into
        return _on_loopback(options.folder)
    from infra.local.twin.world import outside

    emulator = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    address = (emulator.hostname or "", emulator.port or 0)
    return outside.live(address, lambda asked: _in_a_world(options, address, asked, tunnels))


def _on_loopback(folder: Path) -> int:
    from infra.local.twin.grounds.loopback import OnLoopback
    from infra.local.twin.keeper import keep

    return keep(OnLoopback(folder), folder, _stopped_by_a_signal())


def _in_a_world(
    options: argparse.Namespace, emulator: tuple[str, int], asked: socket.socket, tunnels: socket.socket
) -> int:
    from infra.local.twin.grounds.network import InNetwork
    from infra.local.twin.grounds.nodes import Nodes, processes
    from infra.local.twin.keeper import keep
    from infra.local.twin.world.relay import Relay

    stop = _stopped_by_a_signal()
    Relay(emulator, asked)
    nodes: Nodes
    if options.depth is Depth.MACHINES:
        from infra.local.twin.grounds.machines import machines

        nodes = machines(options.folder, options.base, options.tag)
    else:
        nodes = processes(options.folder)
    ground = InNetwork(options.folder, options.depth.value, nodes, tunnels)
    return keep(ground, options.folder, stop)


def _stopped_by_a_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    sys.exit(main())

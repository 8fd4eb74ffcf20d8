"""``python -m infra.local.twin``: keeps the bodies as the deployed instances are, until a signal ends it."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.twin.bodies import Bodies
from infra.local.twin.deployed import Deployed, Instance, Places

_POLL_SECONDS = 1.0
#: An emulator that is silent for so long is gone, and what was deployed with it.
_GIVE_UP_SECONDS = 20.0

_log = logging.getLogger(__name__)


def main() -> int:
    """Run the twin; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.twin", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="where the bodies live")
    folder = parser.parse_args().folder
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    bodies = Bodies(folder)
    deployed = Deployed(Places(folder))
    heard = time.monotonic()
    while not stop.wait(_POLL_SECONDS):
        try:
            look(deployed, bodies)
            heard = time.monotonic()
        except ClientError as error:
            _log.warning("%s", error)
            heard = time.monotonic()  # an answer all the same
        except BotoCoreError as error:
            _log.warning("%s", error)
            if time.monotonic() - heard > _GIVE_UP_SECONDS:
                _log.error("loopback AWS is gone; so are its nodes")
                bodies.end_all()
                return 1
    return 0


def look(deployed: Deployed, bodies: Bodies) -> None:
    """Make the bodies what the accounts say: running instances have one, others have none.

    Raises:
        BotoCoreError: loopback AWS does not answer.
    """
    seen = deployed.instances()
    for name in bodies:
        if name not in seen.running:
            _log.info("ends %s", name)
            bodies.end(name)
    for instance in seen.running.values():
        if not bodies.is_alive(instance.id):
            bodies.end(instance.id)  # what a dead agent left behind
            try:
                _boot(instance, deployed, bodies)
            except ClientError as error:  # of this node alone; the others are looked after
                _log.warning("%s cannot be booted: %s", instance.id, error)
    bodies.forget(seen.existing, deployed.volumes())


def _boot(instance: Instance, deployed: Deployed, bodies: Bodies) -> None:
    hub = deployed.hub_address(instance.facts.get("federation", ""))
    if hub is None:
        return  # the hub's network is there before any node; it is looked for again
    interface, address = hub
    address_map = f"{address}:*=127.0.0.1:{bodies.port_for(interface)}"
    _log.info("boots %s (%s of %s)", instance.id, instance.facts.get("node"), instance.facts.get("federation"))
    bodies.start(instance, deployed.credentials(instance), address_map)


if __name__ == "__main__":
    sys.exit(main())

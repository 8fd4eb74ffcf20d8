"""The depth *processes*: nodes are processes on loopback. It runs anywhere, and proves no isolation."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.local.twin.bodies import Bodies
from infra.local.twin.control import Operation
from infra.local.twin.deployed import Deployed, Instance, Places

_LOOPBACK_AWS = ("AWS_ENDPOINT_URL", "NO_PROXY", "no_proxy")

_log = logging.getLogger(__name__)


class OnLoopback:
    """Nodes that share this machine's network.

    Args:
        folder: the twin's.
    """

    def __init__(self, folder: Path) -> None:
        self.bodies = Bodies(folder)
        self._deployed = Deployed(Places(folder))

    def look(self) -> None:
        """See :class:`infra.local.twin.keeper.Ground`."""
        look(self._deployed, self.bodies)

    def status(self) -> dict[str, Any]:
        """Return the nodes by instance."""
        return {"nodes": self.bodies.as_dict(), "faults": []}

    def operations(self) -> Mapping[str, Operation]:
        """Return nothing yet."""
        return {}

    def close(self) -> None:
        """Leave the bodies: a keeper that is started again finds them, and ``down`` ends them."""

    def end_all(self) -> None:
        """End every body and delete every volume."""
        self.bodies.end_all()


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
    environment = {
        **{name: os.environ[name] for name in _LOOPBACK_AWS if name in os.environ},
        **deployed.credentials(instance),
        "AWS_EC2_METADATA_DISABLED": "true",
        "FEDERATE_ADDRESS_MAP": f"{address}:*=127.0.0.1:{bodies.port_for(interface)}",
    }
    _log.info("boots %s (%s of %s)", instance.id, instance.facts.get("node"), instance.facts.get("federation"))
    bodies.start(instance, environment)

"""The depth *processes*: nodes are processes on loopback. It runs anywhere, and proves no isolation."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.errors import FederateError
from infra.local.twin.bodies import Bodies
from infra.local.twin.control import Operation
from infra.local.twin.deployed import Deployed, Instance, Places, Seen
from infra.local.twin.faults import Deniable, Faults
from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.ground import ProcessName
from infra.local.twin.faults.operations import operations
from infra.local.twin.grounds.notices import Announcements
from infra.local.twin.grounds.seen import FAULTS_FILE, id_of, instance_of, roles
from infra.local.twin.grounds.stand_ins import StandIns
from infra.local.twin.network import Link
from infra.local.twin.services.metadata.instance import NoticeKind

_LOOPBACK_AWS = ("AWS_ENDPOINT_URL", "NO_PROXY", "no_proxy")

_log = logging.getLogger(__name__)


class NoPeerings(FederateError):
    """There is nothing to count."""

    exit_code = 2


def _no_flows() -> None:
    raise NoPeerings(
        "At the depth processes all nodes are on loopback, and nothing crosses a peering.",
        remedy="federate local down, then federate local up --depth network.",
    )


class OnLoopback:
    """Nodes that share this machine's network.

    Args:
        folder: the twin's.
    """

    def __init__(self, folder: Path) -> None:
        self.bodies = Bodies(folder)
        self._deployed = Deployed(Places(folder))
        self._seen = Seen({}, set())
        self._off: set[str] = set()
        self._announced = Announcements()
        self._stand_ins = StandIns(self.bodies, self._announced)
        self.faults = Faults(self, folder / FAULTS_FILE)

    # What the keeper asks.

    def look(self) -> None:
        """See :class:`infra.local.twin.keeper.Ground`."""
        self._seen = look(self._deployed, self.bodies, self._off, self._stand_ins)

    def status(self) -> dict[str, Any]:
        """Return the nodes by instance, and the faults."""
        return {"nodes": self.bodies.as_dict(), "faults": [fault.as_dict() for fault in self.faults.list()]}

    def operations(self) -> Mapping[str, Operation]:
        """Return those of faults; what crosses a peering cannot be told here."""
        return {**operations(self.faults), "flows": _no_flows}

    def close(self) -> None:
        """Leave the bodies: a keeper that is started again finds them, and ``down`` ends them."""

    def end_all(self) -> None:
        """End every body and delete every volume."""
        self.bodies.end_all()

    # What faults ask.

    @property
    def depth(self) -> str:
        """The depth."""
        return "processes"

    def nodes(self) -> Mapping[str, str]:
        """Return the nodes and the role of each."""
        return roles(self._seen)

    def links(self, node: str) -> Sequence[Link]:
        """Return nothing: there is no network."""
        return ()

    def processes(self, node: str, name: ProcessName) -> Sequence[int]:
        """Return the processes of a node's agent or application."""
        instance = instance_of(self._seen, node).id
        if instance not in self.bodies:
            return ()
        agent, others = self.bodies.processes(instance)
        return (agent,) if name == "agent" else others

    def reboot(self, node: str) -> None:
        """Kill the body; the next look boots it."""
        self.bodies.kill(instance_of(self._seen, node).id)

    def power_off(self, node: str) -> None:
        """Kill the body and boot it no more."""
        instance = instance_of(self._seen, node)
        self._off.add(node)
        self.bodies.kill(instance.id)

    def power_on(self, node: str) -> None:
        """Have the next look boot it."""
        self._off.discard(node)

    def disk(self, node: str) -> Path | None:
        """Return nothing: the node's folders are on this machine's own disk."""
        return None

    def skew(self, node: str, seconds: float | None) -> None:
        """Refuse: these processes have this machine's clock.

        Raises:
            FaultRefused: always.
        """
        raise FaultRefused("At the depth processes all nodes have this machine's clock.", remedy="DEPTH=machines.")

    def instance(self, node: str) -> str | None:
        """Return the id of a node's instance."""
        return id_of(self._seen, node)

    def announce(self, instance: str, kind: NoticeKind, after_seconds: float) -> None:
        """Have its metadata service give notice."""
        self._announced.add(instance, kind, after_seconds)

    def announce_no_more(self, instance: str, kind: NoticeKind) -> None:
        """Take a notice back."""
        self._announced.remove(instance, kind)

    def withhold(self, ids: frozenset[str]) -> None:
        """Do nothing: no rule and no route has an effect here."""

    def rules(self, node: str) -> Sequence[Deniable]:
        """Return nothing."""
        return ()

    def routes(self, node: str) -> Sequence[Deniable]:
        """Return nothing."""
        return ()


def look(deployed: Deployed, bodies: Bodies, off: Collection[str] = (), stand_ins: StandIns | None = None) -> Seen:
    """Make the bodies what the accounts say, and return that: running instances have one, others have none.

    Those that were rebooted through EC2's API get another, on the same volumes.

    Args:
        deployed: the accounts.
        bodies: the bodies.
        off: nodes that are powered off although their instances run.
        stand_ins: their metadata services; None where they have none.

    Raises:
        BotoCoreError: loopback AWS does not answer.
    """
    seen = deployed.instances()
    rebooted = deployed.rebooted()
    if stand_ins is not None:
        stand_ins.follow(seen.running)
    for name in bodies:
        if name not in seen.running:
            _log.info("ends %s", name)
            bodies.end(name)
    for name in rebooted:
        if name in seen.running and bodies.is_alive(name):  # what has no body is about to boot anyway
            _log.info("reboots %s", name)
            bodies.kill(name)
    for instance in seen.running.values():
        if instance.facts.get("node") not in off and not bodies.is_alive(instance.id):
            bodies.end(instance.id)  # what a dead agent left behind
            try:
                _boot(instance, deployed, bodies, stand_ins)
            except ClientError as error:  # of this node alone; the others are looked after
                _log.warning("%s cannot be booted: %s", instance.id, error)
    bodies.forget(seen.existing, deployed.volumes())
    return seen


def _boot(instance: Instance, deployed: Deployed, bodies: Bodies, stand_ins: StandIns | None) -> None:
    hub = deployed.hub_address(instance.facts.get("federation", ""))
    if hub is None:
        return  # the hub's network is there before any node; it is looked for again
    interface, address = hub
    environment = {
        **{name: os.environ[name] for name in _LOOPBACK_AWS if name in os.environ},
        **deployed.credentials(instance),
        **(stand_ins.environment(instance) if stand_ins else {"AWS_EC2_METADATA_DISABLED": "true"}),
        "FEDERATE_ADDRESS_MAP": f"{address}:*=127.0.0.1:{bodies.port_for(interface)}",
    }
    _log.info("boots %s (%s of %s)", instance.id, instance.facts.get("node"), instance.facts.get("federation"))
    bodies.start(instance, environment)

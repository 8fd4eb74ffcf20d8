"""The depths *network* and *machines*: nodes live in the network that is deployed, made of this machine's kernel."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from infra.errors import FederateError
from infra.federation.model import Federation
from infra.local.twin import emulator, network
from infra.local.twin.control import Operation
from infra.local.twin.deployed import Deployed, Instance, Places, Seen
from infra.local.twin.faults import Deniable, Faults
from infra.local.twin.faults.ground import ProcessName
from infra.local.twin.faults.operations import operations as fault_operations
from infra.local.twin.grounds import denial
from infra.local.twin.grounds.metadata import metadata
from infra.local.twin.grounds.nodes import Nodes, Setting
from infra.local.twin.grounds.notices import Announcements
from infra.local.twin.grounds.seen import FAULTS_FILE, id_of, instance_of, roles
from infra.local.twin.grounds.services import Services
from infra.local.twin.grounds.tunnels import tunnels
from infra.local.twin.network import Fabric, Link, Picture
from infra.local.twin.network import reachability as reach
from infra.local.twin.network.flows import Counting
from infra.local.twin.services.metadata import Metadata
from infra.local.twin.services.metadata.instance import NoticeKind

#: Without any sign of a change everything is read again after so long.
_LOOK_AGAIN_SECONDS = 60.0
#: Tried besides those that the model has: what somebody might have left open.
_OTHER_PORTS = (80, 443)

_log = logging.getLogger(__name__)


class InNetwork:
    """Routers, links, services, and the nodes' bodies in their midst.

    Args:
        folder: the twin's.
        depth: ``network`` or ``machines``, for faults to know.
        nodes: the bodies.
        tunnels_at: a listening socket, where operators open tunnels.
        watch: is shown what nodes send to AWS's endpoints, in plain.
    """

    def __init__(
        self,
        folder: Path,
        depth: str,
        nodes: Nodes,
        tunnels_at: socket.socket,
        watch: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._folder = folder
        self._depth = depth
        self._nodes = nodes
        self._deployed = Deployed(Places(folder))
        endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
        self._emulator = (endpoint.hostname or "", endpoint.port or 0)
        self._services = Services(folder, self._emulator, self._metadata_of, watch)
        self._picture = Picture()
        self._fabric = Fabric()
        self._is_complete = True
        self._counting = Counting()
        self._seen = Seen({}, set())
        self._metadata: dict[str, Metadata] = {}
        self._metadata_lock = threading.Lock()
        self._withheld: frozenset[str] = frozenset()
        self._off: set[str] = set()
        self._announced = Announcements()
        self._changes: object = None
        self._read_at = 0.0
        self._problem = ""
        self.faults = Faults(self, folder / FAULTS_FILE)
        service = tunnels(self._deployed, lambda: (self._picture, self._fabric))
        threading.Thread(target=service.serve, args=(tunnels_at,), name="tunnels", daemon=True).start()

    # What the keeper asks.

    def look(self) -> None:
        """See :class:`infra.local.twin.keeper.Ground`."""
        changes = emulator.changes()
        is_old = time.monotonic() - self._read_at > _LOOK_AGAIN_SECONDS
        if changes != self._changes or is_old:
            self._read()
            self._reboot(self._deployed.rebooted())
            self._changes = changes
        self._follow_instances()

    def status(self) -> dict[str, Any]:
        """Return the nodes by instance, the faults, and the size of the network."""
        return {
            **({"problem": self._problem} if self._problem else {}),
            "nodes": self._nodes.as_dict(),
            "faults": [fault.as_dict() for fault in self.faults.list()],
            "network": {"vpcs": len(self._fabric.routers), "links": len(self._fabric.links)},
        }

    def operations(self) -> Mapping[str, Operation]:
        """Return what may be asked besides."""
        return {**fault_operations(self.faults), "reachability": self.reachability, "flows": self._counting.report}

    def close(self) -> None:
        """End the nodes in order; the world, and all else in it, ends with the keeper."""
        with contextlib.suppress(FederateError):
            self.faults.clear("all", ["freeze"])  # what stands still cannot end in order
        threads = [threading.Thread(target=self._nodes.end, args=(name,)) for name in self._nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._services.close()

    def end_all(self) -> None:
        """End every node and delete every disk."""
        self._nodes.end_all()

    def reachability(self, federation: Mapping[str, Any]) -> dict[str, Any]:
        """Measure who reaches whom, and return it beside what the model of a federation intends.

        Args:
            federation: the model, as JSON says it.
        """
        self.look()  # what was deployed in the last second counts
        model = Federation.model_validate(federation)
        ports = sorted({model.aggregator.port, reach.SSH, *_OTHER_PORTS})
        report = reach.compare(model, reach.measure(self._fabric, self._picture, ports))
        return {
            "document": json.loads(reach.as_json(report)),
            "text": reach.as_text(report),
            "markdown": reach.as_markdown(report),
            "svg": reach.as_svg(report),
            "differences": str(reach.NotAsIntended(report.differences).args[0]) if report.differences else "",
        }

    # What faults ask.

    @property
    def depth(self) -> str:
        """The depth."""
        return self._depth

    def nodes(self) -> Mapping[str, str]:
        """Return the nodes and the role of each."""
        return roles(self._seen)

    def links(self, node: str) -> Sequence[Link]:
        """Return a site's link; of the aggregator, all."""
        return [link for link in self._fabric.links if node in link.sites]

    def processes(self, node: str, name: ProcessName) -> Sequence[int]:
        """Return the processes of a node's agent or application."""
        return self._nodes.processes(instance_of(self._seen, node).id, name)

    def reboot(self, node: str) -> None:
        """Kill the body; the next look boots it."""
        self._nodes.kill(instance_of(self._seen, node).id)

    def power_off(self, node: str) -> None:
        """Kill the body and boot it no more."""
        instance = instance_of(self._seen, node)
        self._off.add(node)
        self._nodes.kill(instance.id)

    def power_on(self, node: str) -> None:
        """Have the next look boot it."""
        self._off.discard(node)

    def disk(self, node: str) -> Path | None:
        """Return a folder on the node's disk, if that is bounded."""
        return self._nodes.disk(instance_of(self._seen, node).id)

    def skew(self, node: str, seconds: float | None) -> None:
        """Have a node's clock be wrong."""
        self._nodes.skew(instance_of(self._seen, node).id, seconds)

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
        """Deny these rules and routes, and no others."""
        self._withheld = ids
        self._build(self._picture)

    def rules(self, node: str) -> Sequence[Deniable]:
        """Return what can be denied."""
        return denial.rules(node, self._picture)

    def routes(self, node: str) -> Sequence[Deniable]:
        """Return what can be deleted."""
        return denial.routes(node, self._picture, self._fabric)

    # Its own.

    def _read(self) -> None:
        self._seen = seen = self._deployed.instances()
        try:
            self._build(network.read(Places(self._folder), self._deployed.client))
            self._problem = ""
        except network.NotInTheTwin as error:  # the network stays as it was; who asks is told
            self._problem = str(error)
            _log.error("%s", error)
        if self._read_at == 0.0:
            self.faults.resume()  # those of a keeper before this one
        self._read_at = time.monotonic()
        with self._metadata_lock:
            self._metadata = {name: told for name, told in self._metadata.items() if name in seen.running}
        self._nodes.forget(seen.existing, self._deployed.volumes())

    def _build(self, picture: Picture) -> None:
        planned = network.plan(picture, denial.as_planned(self._withheld))
        if planned != self._fabric or not self._is_complete:
            had = {link.peering for link in self._fabric.links} if self._is_complete else set()
            self._is_complete = False  # until services, counters and faults have followed: a failure is made up for
            network.apply(self._fabric, planned)
            self._fabric = planned
            self._services.follow(planned)
            self._counting.follow(planned.links)
            _log.info("the network: %d VPCs, %d links", len(planned.routers), len(planned.links))
            if {link.peering for link in planned.links} - had:
                self._picture = picture
                self.faults.settle_links()
            self._is_complete = True
        self._picture = picture

    def _reboot(self, instances: Collection[str]) -> None:
        for name in instances:
            if self._nodes.is_alive(name):  # what has no body is about to boot anyway
                _log.info("reboots %s", name)
                self._nodes.kill(name)

    def _follow_instances(self) -> None:
        running = self._seen.running
        for name in self._nodes:
            if name not in running:
                _log.info("ends %s", name)
                self._nodes.end(name)
        for instance in running.values():
            is_off = instance.facts.get("node") in self._off
            if not is_off and not self._nodes.is_alive(instance.id):
                self._nodes.end(instance.id)  # what a dead agent left behind
                self._boot(instance)

    def _boot(self, instance: Instance) -> None:
        try:
            port = self._fabric.port(instance.interface)
        except KeyError:
            self._changes = None  # the interface is not in the picture yet: look again
            return
        try:
            announced = partial(self._announced.of, instance.id)
            told = metadata(instance, self._deployed, self._picture, self._emulator, announced)
        except (ClientError, KeyError) as error:  # of this node alone; the others are looked after
            _log.warning("%s cannot be booted: %s", instance.id, error)
            return
        with self._metadata_lock:
            self._metadata[instance.id] = told
        router = next(router for router in self._fabric.routers if router.namespace == port.router)
        root_gib, state_gib = self._deployed.sizes(instance)
        setting = Setting(port, router.resolver_addresses[0], self._services.authority.ca_path, root_gib, state_gib)
        _log.info("boots %s (%s of %s)", instance.id, instance.facts.get("node"), instance.facts.get("federation"))
        try:
            self._nodes.boot(instance, setting)
        except FederateError as error:
            _log.error("%s cannot be booted: %s", instance.id, error)

    def _metadata_of(self, vpc: str, address: str) -> Metadata | None:
        with self._metadata_lock:
            every = tuple(self._metadata.values())
        return next((told for told in every if (told.vpc_id, told.address) == (vpc, address)), None)

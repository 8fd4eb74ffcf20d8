"""A twin of networks alone: what faults of links, rules and routes act on, without nodes that run anything."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from pictures import FL_PORT

from infra.local.twin.faults import Deniable
from infra.local.twin.network import Fabric, Link, Picture, apply, namespaces, plan

_AND = " "


class FabricGround:
    """The network of a picture, built in the namespaces that this process has to itself."""

    depth = "network"

    def __init__(self, seen: Picture) -> None:
        self._picture = seen
        self.fabric: Fabric = plan(seen)
        apply(None, self.fabric)

    def nodes(self) -> dict[str, str]:
        return {vpc.node: "server" if vpc.node == "aggregator" else "client" for vpc in self._picture.vpcs}

    def links(self, node: str) -> list[Link]:
        return [link for link in self.fabric.links if node in link.sites]

    def processes(self, node: str, name: str) -> list[int]:
        return []

    def reboot(self, node: str) -> None: ...
    def power_off(self, node: str) -> None: ...
    def power_on(self, node: str) -> None: ...
    def skew(self, node: str, seconds: float | None) -> None: ...

    def disk(self, node: str) -> Path | None:
        return None

    def withhold(self, ids: frozenset[str]) -> None:
        new = plan(self._picture, frozenset(tuple(one.split(_AND)) if _AND in one else one for one in ids))
        apply(self.fabric, new)
        self.fabric = new

    def rules(self, node: str) -> list[Deniable]:
        own = {group.id for group in self._picture.groups if group.vpc == f"vpc-{node}"}
        return [
            Deniable(rule.id, "fl-port", group.name)
            for group in self._picture.groups
            for rule in (*group.ingress, *group.egress)
            if rule.from_port == FL_PORT and (group.id in own or rule.group in own)
        ]

    def routes(self, node: str) -> list[Deniable]:
        over = {link.peering for link in self.links(node)}
        return [
            Deniable(f"{table.id}{_AND}{route.destination}", "return" if "aggregator" in table.vpc else "to-hub", "")
            for table in self._picture.route_tables
            for route in table.routes
            if route.target in over
        ]

    @contextlib.contextmanager
    def listening(self, node: str, port: int) -> Iterator[None]:
        """Have a node accept connections at a port."""
        with namespaces.call(self._namespace(node), socket.create_server, ("0.0.0.0", port)):
            yield

    def opens_ms(self, source: str, address: str, port: int, *, timeout: float = 0.8) -> float | None:
        """Open a port from a node; return how long that took, None if nothing came back."""

        def connect() -> float | None:
            began = time.monotonic()
            try:
                socket.create_connection((address, port), timeout=timeout).close()
            except TimeoutError:
                return None
            return (time.monotonic() - began) * 1000

        return namespaces.call(self._namespace(source), connect)

    def _namespace(self, node: str) -> str:
        (found,) = [
            port.namespace
            for port in self.fabric.ports
            if port.interface.node == node and port.interface.kind == "node"
        ]
        return found

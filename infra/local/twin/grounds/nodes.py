"""What a ground asks of the nodes' bodies, and the bodies that are processes in a namespace of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from infra.local.twin.bodies import Bodies
from infra.local.twin.deployed import Instance
from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.ground import ProcessName
from infra.local.twin.network.layout import Port

_RESOLVER_FILE = "resolv.conf"
#: Runs a command in a network, with a resolver's file of its own: the first argument.
_WITH_RESOLVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a node boots.

    Args:
        port: its place in the network.
        resolver: address of its VPC's resolver.
        authority: file with the authority of the endpoints' certificates.
        root_gib: size of its root volume.
        state_gib: size of its state volume.
    """

    port: Port
    resolver: str
    authority: Path
    root_gib: int
    state_gib: int


class Nodes(Protocol):
    """Bodies by the ids of their instances."""

    def __iter__(self) -> Iterator[str]:
        """Iterate over those that have a body, alive or not."""

    def is_alive(self, instance: str) -> bool:
        """Say whether a body lives."""

    def boot(self, instance: Instance, setting: Setting) -> None:
        """Give a running instance a body."""

    def end(self, instance: str) -> None:
        """End a body in order; its disks stay."""

    def kill(self, instance: str) -> None:
        """End a body at once; its disks stay."""

    def forget(self, instances: set[str], volumes: set[str]) -> None:
        """Delete the disks of everything that does not exist any more."""

    def end_all(self) -> None:
        """End every body and delete every disk."""

    def as_dict(self) -> dict[str, Any]:
        """Return the bodies by instance: node, federation, account, and whether they live."""

    def processes(self, instance: str, name: ProcessName) -> Sequence[int]:
        """Return the numbers of the processes of its agent or of its application."""

    def disk(self, instance: str) -> Path | None:
        """Return a folder on its disk, if that is bounded."""

    def skew(self, instance: str, seconds: float | None) -> None:
        """Have its clock be wrong by so much, or right."""


class ProcessNodes:
    """The depth *network*: what the unit would run, in the network of the node's interface.

    Args:
        folder: the twin's.
    """

    def __init__(self, folder: Path) -> None:
        self._bodies = Bodies(folder)
        for left in self._bodies:  # of a world before this one, with which they ended
            self._bodies.disown(left)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the instances that have a body."""
        return iter(self._bodies)

    def is_alive(self, instance: str) -> bool:
        """Say whether the agent runs."""
        return self._bodies.is_alive(instance)

    def boot(self, instance: Instance, setting: Setting) -> None:
        """Start the agent."""
        root = self._bodies.root(instance.id)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        resolver = root / _RESOLVER_FILE
        resolver.write_text(f"nameserver {setting.resolver}\noptions timeout:2 attempts:2\n")
        within = (
            *("nsenter", f"--net=/run/netns/{setting.port.namespace}", "unshare", "--mount"),
            *("sh", "-c", _WITH_RESOLVER, str(resolver)),
        )
        self._bodies.start(instance, {"AWS_CA_BUNDLE": str(setting.authority)}, within)

    def end(self, instance: str) -> None:
        """End the agent in order, with all that it started."""
        self._bodies.end(instance)

    def kill(self, instance: str) -> None:
        """Kill them all."""
        self._bodies.kill(instance)

    def forget(self, instances: set[str], volumes: set[str]) -> None:
        """Delete the folders of what does not exist any more."""
        self._bodies.forget(instances, volumes)

    def end_all(self) -> None:
        """End everything, and delete every folder."""
        self._bodies.end_all()

    def as_dict(self) -> dict[str, Any]:
        """Return the bodies by instance."""
        return self._bodies.as_dict()

    def processes(self, instance: str, name: ProcessName) -> Sequence[int]:
        """Return the numbers of the processes of its agent or of its application."""
        if instance not in self._bodies:
            return ()
        agent, others = self._bodies.processes(instance)
        return (agent,) if name == "agent" else others

    def disk(self, instance: str) -> Path | None:
        """Return nothing: the node's folders are on this machine's own disk."""
        return None

    def skew(self, instance: str, seconds: float | None) -> None:
        """Refuse: these processes have this machine's clock.

        Raises:
            FaultRefused: always.
        """
        raise FaultRefused("At the depth network all nodes have this machine's clock.", remedy="DEPTH=machines.")


def processes(folder: Path) -> ProcessNodes:
    """Return the bodies of the depth *network*."""
    os.umask(0o077)
    return ProcessNodes(folder)

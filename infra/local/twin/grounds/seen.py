"""Nodes by their names, among the instances that were seen."""

from __future__ import annotations

from collections.abc import Mapping

from infra.local.twin.deployed import Instance, Seen
from infra.local.twin.faults.errors import FaultRefused

#: In the twin's folder: what is wrong with it now.
FAULTS_FILE = "faults.json"


def roles(seen: Seen) -> Mapping[str, str]:
    """Return the running nodes and the role of each."""
    return {i.facts["node"]: i.facts.get("role", "") for i in seen.running.values() if "node" in i.facts}


def instance_of(seen: Seen, node: str) -> Instance:
    """Return a node's instance.

    Raises:
        FaultRefused: it has none that runs.
    """
    for instance in seen.running.values():
        if instance.facts.get("node") == node:
            return instance
    raise FaultRefused(f"There is no node {node!r}.", remedy=f"There are: {', '.join(roles(seen)) or 'none'}.")


def id_of(seen: Seen, node: str) -> str | None:
    """Return the id of a node's instance; None if it has none that runs."""
    return next((i.id for i in seen.running.values() if i.facts.get("node") == node), None)

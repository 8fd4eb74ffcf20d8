"""Depth *machines*: each node a root of its own, with systemd as its first process and cloud-init.

``base`` builds the root that all nodes share, with the install script of the machine image; ``machine`` boots one node.
"""

from infra.local.twin.machines.base import cache_folder, ensure
from infra.local.twin.machines.cgroups import sweep
from infra.local.twin.machines.config import Identity
from infra.local.twin.machines.machine import Machine, Spec
from infra.local.twin.machines.volumes import Volume

__all__ = ["Identity", "Machine", "Spec", "Volume", "cache_folder", "ensure", "sweep"]

"""What is deployed, as a network in the kernel: read, planned, applied, and measured."""

from infra.local.twin.network.fabric import apply
from infra.local.twin.network.layout import Fabric, Link, Port, Router
from infra.local.twin.network.picture import Picture
from infra.local.twin.network.plan import plan
from infra.local.twin.network.reading import NotInTheTwin, read

__all__ = ["Fabric", "Link", "NotInTheTwin", "Picture", "Port", "Router", "apply", "plan", "read"]

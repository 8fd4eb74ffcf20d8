"""How the values of a federation fit together: every check of the whole, each in the file of its subject."""

from __future__ import annotations

from infra.federation.checks import accounts, hardware, monitoring, network, sites, training
from infra.federation.finding import Finding
from infra.federation.model import Federation
from infra.federation.registry import Installed

__all__ = ["check"]


def check(federation: Federation, installed: Installed) -> list[Finding]:
    """Return all findings of all checks; ``installed`` names the plug-ins there are."""
    return [
        *accounts.check(federation),
        *network.check(federation),
        *hardware.check(federation),
        *sites.check(federation),
        *monitoring.check(federation),
        *training.check(federation, installed),
    ]

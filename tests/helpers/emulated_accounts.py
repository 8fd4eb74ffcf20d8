"""Accounts of the emulated AWS, by profile, as the toolkit reaches them; single ones can be made to fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stubbed_aws import FailingAccounts

from infra.local.aws.clients import InProcessClients


@dataclass
class EmulatedAccounts:
    """Clients in this process.

    Args:
        clients: of the emulator.
        ids: profile to account id.
        failing: profile, or profile and service (``hospital-a ec2``), to what happens instead.
    """

    clients: InProcessClients
    ids: dict[str, str]
    failing: dict[str, FailingAccounts] = field(default_factory=dict)

    def client(self, service: str, *, profile: str, region: str) -> Any:
        fails = self.failing.get(profile) or self.failing.get(f"{profile} {service}")
        if fails:
            return fails.client(service, profile=profile, region=region)
        return self.clients.client(service, self.ids[profile], region)

    def credentials(self, *, profile: str) -> Any:
        raise NotImplementedError

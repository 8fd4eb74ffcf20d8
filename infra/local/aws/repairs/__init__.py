"""Where moto differs from AWS in what a federation rests on, and is put right. Each repair names what AWS does."""

from infra.local.aws.accounts import Accounts
from infra.local.aws.repairs import buckets, identities, instances, interfaces, peering, security_groups, volumes, vpcs


def apply(accounts: Accounts) -> None:
    """Repair moto in this process; once."""
    identities.repair(accounts)
    buckets.repair()
    interfaces.repair()
    instances.repair()
    volumes.repair()
    vpcs.repair()
    peering.repair()
    security_groups.repair()


__all__ = ["apply"]

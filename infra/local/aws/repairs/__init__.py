"""Where moto differs from AWS in what a federation rests on, and is put right. Each repair names what AWS does."""

import functools

from infra.local.aws.accounts import Accounts
from infra.local.aws.repairs import (
    buckets,
    identities,
    instances,
    interfaces,
    nat_gateways,
    peering,
    security_groups,
    volumes,
    vpcs,
)


def apply(accounts: Accounts) -> None:
    """Repair moto in this process, once, and let it know the accounts of this emulator beside those of others.

    moto's state belongs to the process: emulators that share one share their resources too, so a key is any's.
    """
    identities.know(accounts)
    _repair()


@functools.cache
def _repair() -> None:
    identities.repair()
    buckets.repair()
    interfaces.repair()
    instances.repair()
    volumes.repair()
    vpcs.repair()
    nat_gateways.repair()
    peering.repair()
    security_groups.repair()


__all__ = ["apply"]

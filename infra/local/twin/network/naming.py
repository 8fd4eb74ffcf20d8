"""Names and numbers of the kernel's things, from the ids of AWS's; the same id always gives the same."""

from __future__ import annotations

import hashlib

#: The kernel's limit for the name of a device.
_LONGEST = 15
#: Below are the kernel's own routing tables.
_FIRST_TABLE = 1000


def device(kind: str, identifier: str) -> str:
    """Return a device's name: ``eni-`` and the last 11 digits of an id, so that it is found by eye."""
    digits = identifier.partition("-")[2] or identifier
    return f"{kind}-{digits[-(_LONGEST - len(kind) - 1) :]}"


def table(route_table: str) -> str:
    """Return the number of a route table."""
    return str(_FIRST_TABLE + int(hashlib.sha256(route_table.encode()).hexdigest()[:6], 16))


def mac(namespace: str, name: str) -> str:
    """Return the address of a device that is not an instance's: locally administered, unicast."""
    digest = hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()
    return ":".join(["06", *(digest[i : i + 2] for i in range(0, 10, 2))])

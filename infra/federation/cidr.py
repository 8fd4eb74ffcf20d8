"""Private address ranges: what is private, what overlaps, and what is still free."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

#: RFC 1918.
PRIVATE = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))
#: Docker's default bridge; some AWS services use it too and cannot reach a VPC that lies there.
DOCKER = IPv4Network("172.17.0.0/16")


def free_range(near: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """Return a private range of the size of ``near`` that overlaps nothing taken: the next one above, then from below.

    Args:
        near: a private range; what is looked for begins in the same private block.
        taken: ranges in use, of any size.

    Returns:
        The range, or None where nothing of this size is free.
    """
    blocked = sorted({*taken, DOCKER}, key=lambda network: (network.network_address, network.prefixlen))
    home = [block for block in PRIVATE if near.subnet_of(block)]
    others = [block for block in PRIVATE if block not in home]
    spans = [(near.network_address, block.broadcast_address) for block in home]
    spans += [(block.network_address, block.broadcast_address) for block in (*home, *others)]
    for first, last in spans:
        found = _first_free(int(first), int(last), near.prefixlen, blocked)
        if found is not None:
            return found
    return None


def _first_free(first: int, last: int, prefix: int, blocked: list[IPv4Network]) -> IPv4Network | None:
    size = 1 << (32 - prefix)
    start = -(-first // size) * size
    while start + size - 1 <= last:
        candidate = IPv4Network((IPv4Address(start), prefix))
        ends = [int(network.broadcast_address) for network in blocked if network.overlaps(candidate)]
        if not ends:
            return candidate
        start = -(-(max(ends) + 1) // size) * size
    return None

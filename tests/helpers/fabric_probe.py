"""Tries connections in an applied fabric, from inside its namespaces."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator

from infra.local.twin.network import namespaces, naming, routing
from infra.local.twin.network.fabric import apply
from infra.local.twin.network.layout import Fabric
from infra.local.twin.network.picture import Picture, Withheld
from infra.local.twin.network.plan import plan

#: A lost SYN is sent again after one second.
PATIENCE = 1.3


def applied(picture: Picture, withheld: Withheld = frozenset()) -> Fabric:
    """Plan and apply a picture from nothing."""
    fabric = plan(picture, withheld)
    apply(None, fabric)
    return fabric


def outcome(source: str, address: str, port: int, *, own: str | None = None) -> str:
    """Connect from a namespace; return ``open``, ``refused``, ``silent`` or the error's name.

    Args:
        source: the namespace.
        address: where to.
        port: where to.
        own: the source address to use.
    """

    def connect() -> str:
        with socket.socket() as connection:
            connection.settimeout(PATIENCE)
            try:
                if own is not None:
                    connection.bind((own, 0))
                connection.connect((address, port))
            except TimeoutError:
                return "silent"
            except ConnectionRefusedError:
                return "refused"
            except OSError as error:
                return type(error).__name__
            return "open"

    return namespaces.call(source, connect)


@contextlib.contextmanager
def listening(namespace: str, address: str, port: int) -> Iterator[socket.socket]:
    """Listen in a namespace."""

    def listen() -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        listener.settimeout(5)
        return listener

    with namespaces.call(namespace, listen) as listener:
        yield listener


def opens(source: str, target: str, address: str, port: int) -> bool:
    """Say whether a connection from one namespace opens to a listener in another."""
    with listening(target, address, port):
        return outcome(source, address, port) == "open"


def answers_echo(address: str) -> bool:
    """Say whether an address answers an ICMP echo request, from the namespace that this runs in."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(PATIENCE)
        # Type 8, code 0, checksum, identifier, sequence; the checksum is the complement of their sum.
        raw.sendto(bytes([8, 0, 0xF7, 0xFE, 0, 1, 0, 0]), (address, 0))
        try:
            return raw.recvfrom(100)[0][20] == 0
        except TimeoutError:
            return False


def shell(namespace: str, *argv: str) -> str:
    """Run a command in a namespace and return what it says."""
    process = namespaces.popen(namespace, argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    told: str = process.communicate()[0]
    assert process.returncode == 0, told
    return told


def dropped(namespace: str, comment: str) -> int:
    """Return how many packets the rules with a comment have counted."""
    told = shell(namespace, "nft", "list", "ruleset")
    lines = [line for line in told.splitlines() if f'"{comment}' in line]
    assert lines, f"no rule of {namespace} says {comment!r}:\n{told}"
    return sum(int(found[1]) for line in lines if (found := re.search(r"counter packets (\d+)", line)))


def forge_transit(one: str, other: str, address_of_one: str, address_of_other: str) -> None:
    """Add the routes that would carry two sites' traffic over the hub, if the hub's router let it through."""
    for site, beyond in ((one, address_of_other), (other, address_of_one)):
        device = naming.device("pcx", f"pcx-{site}")
        way = f"via {routing.BEYOND} dev {device} onlink"
        namespaces.ip([f"route replace {beyond}/32 {way} table {naming.table(f'rtb-{site}')}"], f"vpc-{site}")
    for site, address in ((one, address_of_one), (other, address_of_other)):
        device = naming.device("pcx", f"pcx-{site}")
        namespaces.ip([f"route replace {address}/32 via {routing.BEYOND} dev {device} onlink"], "vpc-aggregator")


def flush_isolation(*routers: str) -> None:
    """Take the isolation away."""
    for router in routers:
        namespaces.nft(router, "flush chain inet isolation peerings")

"""A place on a peering's way: a namespace between its two ends, in which a man in the middle can stand.

The peering's devices leave their bridge for that namespace and take each other's addresses, so that neither router
sees a difference, and the security groups of both go on to be enforced where they are. There, what a site's node sends
to the aggregator's port ends in a local listener, what is dialled leaves with the node's address, and nothing else
passes.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra.local.twin.network import namespaces
from infra.local.twin.network.layout import Link

_HERE = "192.0.2.1"  # of the range for documentation: nobody's
_TABLE = "middle"
_SYSCTLS = (
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
)
_BACKLOG = 16
_DIAL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Way:
    """Where a man in the middle serves and dials.

    Args:
        listener: gets the connections of the site's node to the aggregator.
        aggregator: whom they are meant for.
        namespace: where both are.
    """

    listener: socket.socket
    aggregator: tuple[str, int]
    namespace: str

    def dial(self) -> socket.socket:
        """Connect to the aggregator; for it, the node does.

        Raises:
            OSError: nobody is there.
        """
        return namespaces.call(self.namespace, _dial, self.aggregator)


@contextmanager
def in_the_way(link: Link, *, node: str, aggregator: tuple[str, int]) -> Iterator[Way]:
    """Stand on a peering's way, and step aside in the end: what is connected then is lost, and can be opened again.

    Args:
        link: a peering that a site has requested.
        node: address of the site's node.
        aggregator: address and FL port.

    Raises:
        NetworkRefused: the kernel refuses a step.
    """
    name = f"mid-{link.peering.rpartition('-')[2]}"
    ends = ((link.near, link.routers[0], node), (link.far, link.routers[1], aggregator[0]))
    macs = {device: _mac(link.namespace, device) for device, *_ in ends}
    beyond = {device: _mac(router, link.device) for device, router, _ in ends}
    other = {link.near: link.far, link.far: link.near}
    namespaces.create([name])
    try:
        namespaces.sysctl(name, _SYSCTLS)
        namespaces.nft(name, _rules(link, node, aggregator))
        namespaces.ip(["link set lo up", f"addr add {_HERE}/32 dev lo"], name)
        for device, _, address in ends:
            namespaces.ip([f"link set {device} netns {name}"], link.namespace)
            namespaces.ip(
                [
                    f"link set {device} address {beyond[other[device]]}",
                    f"link set {device} up",
                    f"neigh replace {address} lladdr {beyond[device]} dev {device} nud permanent",
                    f"route replace {address}/32 dev {device}",
                ],
                name,
            )
        with namespaces.call(name, _listen, aggregator[1]) as listener:
            yield Way(listener, aggregator, name)
    finally:
        for device, *_ in ends:
            if _is_there(name, device):
                _put_back(name, device, link, macs[device])
        namespaces.delete([name])


def _put_back(name: str, device: str, link: Link, mac: str) -> None:
    back = [f"link set {device} down", f"link set {device} address {mac}", f"link set {device} netns {link.namespace}"]
    namespaces.ip(back, name)
    namespaces.ip([f"link set {device} master {link.bridge}", f"link set {device} up"], link.namespace)


def _rules(link: Link, node: str, aggregator: tuple[str, int]) -> str:
    host, port = aggregator
    flow = f"ip saddr {node} ip daddr {host} tcp dport {port}"
    return f"""table inet {_TABLE} {{
  chain towards {{
    type nat hook prerouting priority dstnat;
    iifname "{link.near}" {flow} dnat ip to {_HERE}:{port}
  }}
  chain onward {{
    type nat hook postrouting priority srcnat;
    oifname "{link.far}" ip saddr {_HERE} ip daddr {host} snat ip to {node}
  }}
  chain beside {{
    type filter hook forward priority filter; policy drop;
    counter comment "passes by no man"
  }}
}}
"""


def _listen(port: int) -> socket.socket:
    return socket.create_server((_HERE, port), backlog=_BACKLOG)


def _dial(aggregator: tuple[str, int]) -> socket.socket:
    return socket.create_connection(aggregator, timeout=_DIAL_SECONDS, source_address=(_HERE, 0))


def _mac(namespace: str, device: str) -> str:
    return str(_links(namespace, device)[0]["address"])


def _is_there(namespace: str, device: str) -> bool:
    return any(found["ifname"] == device for found in _links(namespace))


def _links(namespace: str, *device: str) -> list[dict[str, str]]:
    argv = ["ip", "-j", "link", "show", *device]
    told, _ = namespaces.popen(namespace, argv, stdout=subprocess.PIPE).communicate()
    found: list[dict[str, str]] = json.loads(told or "[]")
    return found

"""What crosses a peering, as counts per flow: kept by the kernel in the site's router, read at any time.

A flow is (source, destination, protocol, port of the service); the ports that clients take by chance are not told
apart, so that a few lines say all. Bytes are those of the IP packets, their headers included.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from infra.local.twin.network import namespaces
from infra.local.twin.network.layout import Link

OUT, IN = "out", "in"
#: More flows than this are counted together, as one without names: whoever makes them cannot fill the kernel's memory.
MOST_FLOWS = 4096
OTHER = "other"
_PROTOCOLS = {6: "tcp", 17: "udp"}


@dataclass(frozen=True, slots=True)
class Flow:
    """What has crossed a peering of one flow.

    Args:
        source: address.
        destination: address.
        protocol: tcp or udp; ``other`` for what has no ports, or found no room in the table.
        port: of the service that was dialled, whichever way the packets go; 0 for ``other``.
        packets: how many.
        bytes: of the packets, IP header included.
        direction: ``out`` of the site (the peering's requester), or ``in``.
    """

    source: str
    destination: str
    protocol: str
    port: int
    packets: int
    bytes: int
    direction: str


def start(link: Link) -> None:
    """Begin to count at nought; what was counted before is forgotten.

    Raises:
        NetworkRefused: the kernel refuses.
    """
    name = _table(link)
    namespaces.nft(link.routers[0], f"table inet {name}\ndelete table inet {name}\n{_rules(name, link.device)}")


def stop(link: Link) -> None:
    """Count no more.

    Raises:
        NetworkRefused: the kernel refuses.
    """
    name = _table(link)
    namespaces.nft(link.routers[0], f"table inet {name}\ndelete table inet {name}\n")


def read(link: Link) -> tuple[Flow, ...]:
    """Return what was counted, the largest first; nothing where nobody counts."""
    argv = ["nft", "-j", "-n", "list", "table", "inet", _table(link)]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    told, _ = namespaces.popen(link.routers[0], argv, **options).communicate()
    flows = _flows(json.loads(told)["nftables"]) if told else []
    return tuple(sorted(flows, key=lambda flow: (-flow.bytes, flow.source, flow.destination, flow.port)))


def report(links: Iterable[Link]) -> list[dict[str, Any]]:
    """Return the flows of all peerings, each with the names of both ends, as JSON can say them."""
    return [
        {"peering": link.peering, "between": list(link.sites), **asdict(flow)} for link in links for flow in read(link)
    ]


def _table(link: Link) -> str:
    return f"flows-{link.peering.rpartition('-')[2]}"


def _rules(name: str, device: str) -> str:
    """Return the table. What other tables drop has not crossed, so they are looked at first.

    The last rule of a chain counts what has no ports, and what the set had no room for: an update that fails ends its
    rule.
    """

    def chain(direction: str, field: str) -> str:
        flow = "ip saddr . ip daddr . meta l4proto . th"
        updates = "\n".join(
            f"    meta l4proto {{ tcp, udp }} ct direction {way} update @{direction}-flows {{ {flow} {port} }} accept"
            for way, port in (("original", "dport"), ("reply", "sport"))
        )
        return f"""  set {direction}-flows {{
    type ipv4_addr . ipv4_addr . inet_proto . inet_service
    size {MOST_FLOWS}
    flags dynamic
    counter
  }}
  counter {direction}-{OTHER} {{ }}
  chain {direction} {{
    type filter hook forward priority 300; policy accept;
    {field} != "{device}" accept
{updates}
    counter name {direction}-{OTHER}
  }}
"""

    return f"table inet {name} {{\n{chain(OUT, 'oifname')}{chain(IN, 'iifname')}}}\n"


def _flows(objects: Iterable[Mapping[str, Any]]) -> list[Flow]:
    found = []
    for each in objects:
        for element in each.get("set", {}).get("elem", ()):
            source, destination, protocol, port = element["elem"]["val"]["concat"]
            counted = element["elem"]["counter"]
            name = _PROTOCOLS.get(protocol, str(protocol))
            direction = each["set"]["name"].partition("-")[0]
            found.append(Flow(source, destination, name, port, counted["packets"], counted["bytes"], direction))
        if counter := each.get("counter"):
            direction = counter["name"].partition("-")[0]
            if counter["packets"]:
                found.append(Flow("", "", OTHER, 0, counter["packets"], counter["bytes"], direction))
    return found


class Counting:
    """The counts of all peerings of a twin, which come and go."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    def follow(self, links: Iterable[Link]) -> None:
        """Count what crosses these peerings; a new one from nought, the others go on.

        Raises:
            NetworkRefused: the kernel refuses.
        """
        wanted = {link.peering: link for link in links}
        for peering, link in wanted.items():
            if self._links.get(peering) != link:
                start(link)
                self._links[peering] = link
        for peering in self._links.keys() - wanted.keys():
            del self._links[peering]  # its router's table sees no packet any more, or is gone with the router

    def report(self) -> list[dict[str, Any]]:
        """Return the flows of all peerings; see :func:`report`."""
        return report(self._links.values())

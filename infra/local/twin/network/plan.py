"""From what is deployed to what is to exist in the kernel. Pure: the same picture gives the same fabric."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from infra.local.twin.network import filtering, naming, routing
from infra.local.twin.network.filtering import Gateway, PeeringDevice, Rules
from infra.local.twin.network.layout import (
    NODE_DEVICE,
    NOWHERE,
    WAN,
    Cable,
    Fabric,
    Link,
    Namespace,
    Plug,
    Port,
    Router,
    Way,
)
from infra.local.twin.network.picture import Interface, Peering, Picture, RouteTable, Vpc, Withheld
from infra.local.twin.network.view import View

#: Source: "Instance metadata and user data" and "Amazon DNS server" in the AWS documentation.
METADATA, RESOLVER = "169.254.169.254", "169.254.169.253"
_NO_IPV6 = (("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1"))
#: What the machine image sets at boot (federate-sysctl.conf), and a machine of the twin may not set itself.
_NODE = (*_NO_IPV6, ("ipv4/tcp_slow_start_after_idle", "0"))
#: A router forwards, answers ARP for everything, tells nobody a shorter way, and leaves spoofing to its own rules.
_ROUTER = (
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/conf/default/proxy_arp", "1"),
    # A packet that a lossy link brings late still belongs to its connection.
    ("netfilter/nf_conntrack_tcp_be_liberal", "1"),
    *_NO_IPV6,
)


def plan(picture: Picture, withheld: Withheld = frozenset()) -> Fabric:
    """Plan the fabric of a picture.

    Args:
        picture: what is deployed.
        withheld: what a fault denies: ids of security-group rules, and (route table, destination) of routes.
    """
    view = View(picture, withheld)
    routers, namespaces, cables, ports = [], [], [], []
    for vpc in picture.vpcs:
        router = _RouterPlan(view, vpc)
        namespaces += [router.namespace(), *(_node(view, interface) for interface in router.nodes)]
        cables += [_cable_of_node(vpc, interface) for interface in router.nodes]
        ports += router.ports()
        routers.append(router.router())
    links = [_link(view, peering) for peering in view.active]
    cables += [cable for peering in view.active for cable in _cables_of_link(peering)]
    if picture.vpcs:
        # First of all: a bridge takes a port into use at once if the port was up before its peer, else within a second.
        namespaces.insert(0, Namespace(WAN, sysctls=_NO_IPV6, bridges=tuple(link.bridge for link in links)))
    return Fabric(tuple(namespaces), tuple(cables), tuple(routers), tuple(ports), tuple(links))


@dataclass(frozen=True, slots=True)
class _GatewayEndpoint:
    id: str
    service: str
    address: str


class _RouterPlan:
    """One VPC: its router, and what is plugged into it."""

    def __init__(self, view: View, vpc: Vpc) -> None:
        self._view = view
        self._vpc = vpc
        self.nodes = [interface for interface in view.interfaces(vpc.id) if interface.kind == "node"]
        self._managed = [interface for interface in view.interfaces(vpc.id) if interface.kind != "node"]
        self._plugged = [(naming.device("eni", interface.id), interface) for interface in self.nodes]
        self._resolvers = (str(ipaddress.IPv4Network(vpc.cidr)[2]), RESOLVER)
        self._gateways = list(self._find_gateways())
        self._peerings = {peering.id: naming.device("pcx", peering.id) for peering in view.peerings(vpc.id)}

    def namespace(self) -> Namespace:
        """Return the router's namespace."""
        rules = self._rules()
        return Namespace(
            name=self._vpc.id,
            sysctls=_ROUTER,
            bridges=(NOWHERE,),
            addresses=tuple(("lo", f"{address}/32") for address in self._addresses()),
            neighbours=(
                *((device, interface.address, interface.mac) for device, interface in self._plugged),
                *(
                    (device, routing.BEYOND, naming.mac(self._beyond(peering), device))
                    for peering, device in self._peerings.items()
                ),
            ),
            ways=self._ways(),
            selectors=tuple(self._selectors()),
            tables=(
                (filtering.ISOLATION, filtering.isolation(rules)),
                (filtering.GROUPS, filtering.groups(rules)),
            ),
            proxies=tuple(device for device, _ in self._plugged),
        )

    def router(self) -> Router:
        """Return what the keeper needs of the router."""
        place = (self._vpc.region, self._vpc.account)
        addresses = {interface.id: interface.address for interface in self._managed}
        inner = [
            (addresses[interface], endpoint.service, *place)
            for endpoint in self._view.picture.endpoints
            if endpoint.vpc == self._vpc.id
            for interface in endpoint.interfaces
            if interface in addresses
        ]
        outer = [(gateway.address, gateway.service, *place) for gateway in self._gateways]
        return Router(self._vpc.id, self._vpc.id, METADATA, self._resolvers, (*inner, *outer))

    def ports(self) -> list[Port]:
        """Return where each interface of the VPC is."""
        return [
            *(Port(interface.id, interface, self._vpc.id, device) for device, interface in self._plugged),
            *(Port(self._vpc.id, interface, self._vpc.id, "") for interface in self._managed),
        ]

    def _find_gateways(self) -> list[_GatewayEndpoint]:
        """Give each gateway endpoint the first address of its service's prefix list."""
        lists = {found.name: found.cidrs for found in self._view.picture.prefix_lists}
        return [
            _GatewayEndpoint(endpoint.id, endpoint.service, str(ipaddress.IPv4Network(cidrs[0])[1]))
            for endpoint in self._view.picture.endpoints
            if endpoint.vpc == self._vpc.id and endpoint.kind == "Gateway"
            if (cidrs := lists.get(f"com.amazonaws.{endpoint.region}.{endpoint.service}"))
        ]

    def _addresses(self) -> list[str]:
        """Return the router's own addresses: each subnet's first, its services', and the endpoints'."""
        subnets = [subnet for subnet in self._view.picture.subnets if subnet.vpc == self._vpc.id]
        own = [str(_gateway(subnet.cidr)) for subnet in subnets]
        every = [
            *own,
            METADATA,
            *self._resolvers,
            *(interface.address for interface in self._managed),
            *(gateway.address for gateway in self._gateways),
        ]
        return list(dict.fromkeys(every))

    def _beyond(self, peering: str) -> str:
        found = {p.id: p for p in self._view.active}[peering]
        return found.other(self._vpc.id) or ""

    def _used_tables(self) -> list[RouteTable]:
        used = [self._view.table_of(interface) for interface in (*self.nodes, *self._managed)]
        return sorted({table.id: table for table in used if table is not None}.values(), key=lambda table: table.id)

    def _ways(self) -> tuple[Way, ...]:
        ways = list(routing.inside(routing.MAIN, self._vpc.cidr, self._plugged))
        for table in self._used_tables():
            local = routing.inside(naming.table(table.id), self._vpc.cidr, self._plugged)
            ways += routing.ways_of(table, local, self._peerings, self._view.prefix_lists, self._view.withheld)
        return tuple(ways)

    def _selectors(self) -> list[str]:
        found = []
        for device, interface in self._plugged:
            if (table := self._view.table_of(interface)) is not None:
                found.append(routing.selector_of_node(device, table))
        for interface in self._managed:
            if (table := self._view.table_of(interface)) is not None:
                found.append(routing.selector_of_endpoint(interface.address, table))
        return found

    def _rules(self) -> Rules:
        view, vpc = self._view, self._vpc
        peerings = {peering.id: peering for peering in view.active}
        gateways = tuple(
            Gateway(
                gateway.address,
                gateway.service,
                tuple(
                    device
                    for device, interface in self._plugged
                    if routing.leads_to(view.table_of(interface), gateway.id, view.withheld)
                ),
            )
            for gateway in self._gateways
        )
        return Rules(
            cidr=vpc.cidr,
            nodes=tuple(self._plugged),
            managed=tuple(self._managed),
            gateways=gateways,
            peerings=tuple(
                PeeringDevice(device, name, peerings[name].cidr_beyond(vpc.id))
                for name, device in self._peerings.items()
            ),
            groups=view.groups,
            metadata=METADATA,
            resolvers=self._resolvers,
            members=self._members(),
            prefix_lists=view.prefix_lists,
            withheld=view.withheld,
        )

    def _members(self) -> Mapping[str, tuple[str, ...]]:
        """Return what the groups stand for that the rules of this VPC's groups name."""
        used = {name for interface in (*self.nodes, *self._managed) for name in interface.groups}
        named = {
            rule.group
            for name in used
            if (group := self._view.groups.get(name)) is not None
            for rule in (*group.ingress, *group.egress)
            if rule.group is not None
        }
        return {name: self._view.members(name, self._vpc.id) for name in sorted(named)}


def _gateway(cidr: str) -> ipaddress.IPv4Address:
    """Return the router's address in a subnet: AWS keeps the first for it."""
    return ipaddress.IPv4Network(cidr)[1]


def _node(view: View, interface: Interface) -> Namespace:
    """Plan a node's namespace: one device, and everything by the router, even what is in its own subnet."""
    gateway = str(_gateway(view.subnets[interface.subnet].cidr))
    beyond = naming.mac(interface.vpc, naming.device("eni", interface.id))
    return Namespace(
        name=interface.id,
        sysctls=_NODE,
        addresses=((NODE_DEVICE, f"{interface.address}/32"),),
        neighbours=((NODE_DEVICE, gateway, beyond),),
        ways=(Way("0.0.0.0/0", routing.MAIN, f"via {gateway} dev {NODE_DEVICE} onlink"),),
    )


def _cable_of_node(vpc: Vpc, interface: Interface) -> Cable:
    device = naming.device("eni", interface.id)
    return Cable(Plug(vpc.id, device, naming.mac(vpc.id, device)), Plug(interface.id, NODE_DEVICE, interface.mac))


def _cables_of_link(peering: Peering) -> tuple[Cable, Cable]:
    device = naming.device("pcx", peering.id)
    return tuple(  # type: ignore[return-value] # of two
        Cable(Plug(vpc, device, naming.mac(vpc, device)), Plug(WAN, end, naming.mac(WAN, end)))
        for vpc, end in (
            (peering.requester_vpc, naming.device("req", peering.id)),
            (peering.accepter_vpc, naming.device("acc", peering.id)),
        )
    )


def _link(view: View, peering: Peering) -> Link:
    return Link(
        peering=peering.id,
        namespace=WAN,
        bridge=naming.device("pcx", peering.id),
        near=naming.device("req", peering.id),
        far=naming.device("acc", peering.id),
        sites=(view.node_of(peering.requester_vpc), view.node_of(peering.accepter_vpc)),
        routers=(peering.requester_vpc, peering.accepter_vpc),
        device=naming.device("pcx", peering.id),
    )

"""The fabric: what is to exist in the kernel, as values. Two fabrics can be compared, and their difference applied."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.local.twin.network.picture import Interface

#: The namespace in which the peerings are.
WAN = "wan"
#: A router's device for what has no way: what is sent there is counted and dropped.
NOWHERE = "nowhere"
#: A node's network device.
NODE_DEVICE = "eth0"


@dataclass(frozen=True, slots=True)
class Way:
    """A route of the kernel; a table has one for each destination.

    Args:
        destination: a range.
        table: a number, or ``main``.
        by: the rest, as ``ip route`` wants it: ``dev eni-0123``.
    """

    destination: str
    table: str
    by: str

    @property
    def device(self) -> str:
        """The device that it leads out of."""
        words = self.by.split()
        return words[words.index("dev") + 1]


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, without its cables.

    Args:
        sysctls: (name below ``net``, value), set once, before there is a device.
        bridges: devices without ports of their own to make.
        addresses: (device, address with prefix length).
        neighbours: (device, address, MAC), which are known and never asked for.
        ways: routes.
        selectors: policy routing, as ``ip rule`` wants it: ``iif eni-0123 lookup 4711 priority 1000``.
        tables: (name, nft text) of tables of the family inet; each is replaced as a whole.
        proxies: devices that answer ARP at once for every address.
    """

    name: str
    sysctls: tuple[tuple[str, str], ...] = ()
    bridges: tuple[str, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    neighbours: tuple[tuple[str, str, str], ...] = ()
    ways: tuple[Way, ...] = ()
    selectors: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plug:
    """One end of a cable."""

    namespace: str
    device: str
    mac: str


@dataclass(frozen=True, slots=True)
class Cable:
    """A pair of veth devices."""

    left: Plug
    right: Plug


@dataclass(frozen=True, slots=True)
class Router:
    """A VPC's router, in which its services listen.

    Args:
        namespace: its name.
        vpc: id of the VPC.
        metadata_address: where the instance metadata service listens, port 80.
        resolver_addresses: where the resolver listens, port 53.
        endpoints: (address, service, Region, account) of the VPC's endpoints, port 443.
    """

    namespace: str
    vpc: str
    metadata_address: str
    resolver_addresses: tuple[str, ...]
    endpoints: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Port:
    """Where an interface is.

    Args:
        namespace: the node's; of an endpoint, whose address is the router's own, the router's.
        interface: as it was read.
        router: namespace of the router that it is plugged into.
        device: the router's end of a node's cable; empty for an endpoint.
    """

    namespace: str
    interface: Interface
    router: str
    device: str


@dataclass(frozen=True, slots=True)
class Link:
    """An active peering: a bridge of two devices, which can be taken out of it and put back.

    Args:
        peering: its id.
        namespace: where bridge and devices are.
        bridge: the bridge.
        near: the device towards the requester's router.
        far: the device towards the accepter's router.
        sites: the nodes of the requester's and the accepter's VPC, by tag.
        routers: namespaces of the requester's and the accepter's router.
        device: the device in both of these.
    """

    peering: str
    namespace: str
    bridge: str
    near: str
    far: str
    sites: tuple[str, str]
    routers: tuple[str, str]
    device: str


@dataclass(frozen=True, slots=True)
class Fabric:
    """Everything that is to exist."""

    namespaces: tuple[Namespace, ...] = ()
    cables: tuple[Cable, ...] = ()
    routers: tuple[Router, ...] = ()
    ports: tuple[Port, ...] = ()
    links: tuple[Link, ...] = field(default=())

    def namespace(self, name: str) -> Namespace:
        """Return a namespace.

        Raises:
            KeyError: there is none of this name.
        """
        return {namespace.name: namespace for namespace in self.namespaces}[name]

    def port(self, interface: str) -> Port:
        """Return the port of an interface.

        Raises:
            KeyError: there is no interface of this id.
        """
        return {port.interface.id: port for port in self.ports}[interface]

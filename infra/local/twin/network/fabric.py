"""Brings the kernel from one fabric to another, by their differences alone.

What is in both is not touched: a flow goes on while a site joins or leaves elsewhere. Rules come first, so that no
device is ever there before its rules. The rules of a table are replaced in one transaction, and a route by its
successor; counters of a replaced table begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from infra.local.twin.network import namespaces
from infra.local.twin.network.layout import Cable, Fabric, Link, Namespace, Plug

_EMPTY = Namespace("")
_BRIDGE = "type bridge forward_delay 0 stp_state 0 mcast_snooping 0"


def apply(old: Fabric | None, new: Fabric) -> None:
    """Make the kernel from what ``old`` says what ``new`` says.

    Args:
        old: what was applied before; None if nothing was.
        new: what is to be.

    Raises:
        NetworkRefused: the kernel refuses a step; what came before it is done.
    """
    before = {namespace.name: namespace for namespace in (old or Fabric()).namespaces}
    after = {namespace.name: namespace for namespace in new.namespaces}
    added = [namespace for name, namespace in after.items() if name not in before]
    removed = [name for name in before if name not in after]
    namespaces.create(namespace.name for namespace in added)
    for namespace in after.values():
        _load(before.get(namespace.name, _EMPTY), namespace)
    for namespace in added:  # after the rules: they make the kernel follow connections, which has values to set
        namespaces.sysctl(namespace.name, namespace.sysctls)
    cables = _Cables((old or Fabric()).cables, new.cables, before, after)
    cables.remove()
    cables.add()
    devices = cables.new_devices()
    for namespace in after.values():
        fresh, gone = devices.get(namespace.name, []), cables.gone(namespace.name)
        _configure(before.get(namespace.name), namespace, fresh, gone, _ports(new, namespace))
    for name, fresh in devices.items():
        namespaces.wait_until_running(name, fresh)
    namespaces.delete(removed)


def reload(namespace: Namespace) -> None:
    """Load all rules of a namespace anew, whatever was done to them."""
    _load(_EMPTY, namespace)


class _Cables:
    """The cables of two fabrics."""

    def __init__(self, old: Iterable[Cable], new: Iterable[Cable], before: Iterable[str], after: Iterable[str]) -> None:
        had, wanted = dict.fromkeys(old), dict.fromkeys(new)
        self._removed = [cable for cable in had if cable not in wanted]
        self._added = [cable for cable in wanted if cable not in had]
        self._surviving = set(before) & set(after)

    def remove(self) -> None:
        """Unplug old cables, by an end that stays; the others go with their namespaces."""
        by_namespace: dict[str, list[str]] = {}
        for cable in self._removed:
            end = next((plug for plug in (cable.left, cable.right) if plug.namespace in self._surviving), None)
            if end is not None:
                by_namespace.setdefault(end.namespace, []).append(f"link del {end.device}")
        for name, lines in by_namespace.items():
            namespaces.ip(lines, name)

    def add(self) -> None:
        """Make new cables, down."""
        namespaces.ip([_cable(cable) for cable in self._added])

    def new_devices(self) -> dict[str, list[str]]:
        """Return the ends of the new cables, by namespace."""
        found: dict[str, list[str]] = {}
        for plug in (plug for cable in self._added for plug in (cable.left, cable.right)):
            found.setdefault(plug.namespace, []).append(plug.device)
        return found

    def gone(self, namespace: str) -> frozenset[str]:
        """Return the devices that a namespace has lost."""
        plugs = [plug for cable in self._removed for plug in (cable.left, cable.right)]
        return frozenset(plug.device for plug in plugs if plug.namespace == namespace)


def _cable(cable: Cable) -> str:
    def end(plug: Plug) -> str:
        return f"{plug.device} netns {plug.namespace} address {plug.mac}"

    return f"link add name {end(cable.left)} type veth peer name {end(cable.right)}"


def _load(old: Namespace, new: Namespace) -> None:
    had = dict(old.tables)
    text = [
        f"table inet {name}\ndelete table inet {name}\n{rules}" for name, rules in new.tables if had.get(name) != rules
    ]
    if text:
        namespaces.nft(new.name, "".join(text))


def _ports(fabric: Fabric, namespace: Namespace) -> dict[str, str]:
    """Return the bridge of each device that belongs into one."""
    links: list[Link] = [link for link in fabric.links if link.namespace == namespace.name]
    return {device: link.bridge for link in links for device in (link.near, link.far)}


def _configure(
    old: Namespace | None, new: Namespace, devices: list[str], gone: frozenset[str], bridges: dict[str, str]
) -> None:
    """Set up devices, addresses and ways; first what is new, then away with what is old."""
    had = old or _EMPTY
    lines = [] if old else ["link set lo up"]
    for bridge in new.bridges:
        if bridge not in had.bridges:
            lines += [f"link add name {bridge} {_BRIDGE}", f"link set {bridge} up"]
    for device in devices:
        if device in bridges:
            lines.append(f"link set {device} master {bridges[device]}")
        lines.append(f"link set {device} up")
        if device in new.proxies:
            lines.append(f"ntable change name arp_cache dev {device} proxy_delay 0")
    fresh = frozenset(devices)
    lines += [
        f"addr add {address} dev {device}"
        for device, address in new.addresses
        if (device, address) not in had.addresses or device in fresh
    ]
    lines += [
        f"neigh replace {address} lladdr {mac} dev {device} nud permanent"
        for device, address, mac in new.neighbours
        if (device, address, mac) not in had.neighbours or device in fresh
    ]
    lines += [
        f"route replace {way.destination} {way.by} table {way.table}"
        for way in new.ways
        if way not in had.ways or way.device in fresh
    ]
    lines += [f"rule add {selector}" for selector in new.selectors if selector not in had.selectors]
    namespaces.ip([*lines, *_undo(had, new, gone)], new.name)


def _undo(old: Namespace, new: Namespace, gone: frozenset[str]) -> list[str]:
    """Return the lines that take away what is not wanted any more; what went with its device is gone already."""
    kept = {(way.destination, way.table) for way in new.ways}
    addressed = {(device, address) for device, address, _ in new.neighbours}
    lines = [f"rule del {selector}" for selector in old.selectors if selector not in new.selectors]
    lines += [
        f"route del {way.destination} {way.by} table {way.table}"
        for way in old.ways
        if (way.destination, way.table) not in kept and way.device not in gone
    ]
    lines += [
        f"neigh del {address} dev {device}"
        for device, address, _ in old.neighbours
        if (device, address) not in addressed and device not in gone
    ]
    lines += [
        f"addr del {address} dev {device}"
        for device, address in old.addresses
        if (device, address) not in new.addresses and device not in gone
    ]
    return [*lines, *(f"link del {bridge}" for bridge in old.bridges if bridge not in new.bridges)]

"""Two sites and a hub in network namespaces, as the twin lays them out, without its rules: for what stands on the way.

Run it within a mount and network namespace of its own: ``unshare -mn``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from needs import cannot_run

from infra.local.twin.network import namespaces
from infra.local.twin.network.layout import Link

ROOT = Path(__file__).parents[2]
HUB = "10.30.0.10"
NODES = {"hub": HUB, "site-a": "10.10.0.10", "site-b": "10.20.0.10"}
SITES = ("site-a", "site-b")
PORT = 8890
BEYOND = "169.254.100.1"


def mac(kind: int, number: int) -> str:
    return f"06:00:00:00:{kind:02x}:{number:02x}"


def lay_out() -> dict[str, Link]:
    """Make everything; return each site's link to the hub."""
    namespaces.FOLDER.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(namespaces.FOLDER)], check=True)
    namespaces.create(["wan", *(f"vpc-{node}" for node in NODES), *(f"eni-{node}" for node in NODES)])
    for name in namespaces.names():
        namespaces.sysctl(name, [("ipv4/ip_forward", "1"), ("ipv6/conf/all/disable_ipv6", "1")])
        namespaces.sysctl(name, [("ipv6/conf/default/disable_ipv6", "1")])
        namespaces.ip(["link set lo up"], name)
    for number, (node, address) in enumerate(NODES.items()):
        _plug_in(node, address, number)
    return {site: _peer(site, number) for number, site in enumerate(SITES, start=1)}


def _plug_in(node: str, address: str, number: int) -> None:
    inner, outer = mac(1, number), mac(2, number)
    namespaces.ip(
        [
            f"link add name eth0 netns eni-{node} address {inner} "
            + f"type veth peer name node netns vpc-{node} address {outer}"
        ]
    )
    namespaces.ip(
        [
            f"addr add {address}/32 dev eth0",
            "link set eth0 up",
            f"route add {BEYOND} dev eth0",
            f"neigh add {BEYOND} lladdr {outer} dev eth0 nud permanent",
            f"route add default via {BEYOND} dev eth0",
        ],
        f"eni-{node}",
    )
    namespaces.ip(
        [
            "link set node up",
            f"route add {address}/32 dev node",
            f"neigh add {address} lladdr {inner} dev node nud permanent",
        ],
        f"vpc-{node}",
    )
    namespaces.nft(
        f"vpc-{node}",
        "table inet track {\n chain any {\n type filter hook forward priority 0\n ct state new counter\n}\n}\n",
    )


def _peer(site: str, number: int) -> Link:
    device, near, far = f"px-{number}", f"near-{number}", f"far-{number}"
    bridge, routers = f"br-{number}", (f"vpc-{site}", "vpc-hub")
    macs = (mac(3, number), mac(4, number))
    namespaces.ip([f"link add name {bridge} type bridge forward_delay 0 stp_state 0", f"link set {bridge} up"], "wan")
    for router, own, other, end, there in zip(
        routers, macs, reversed(macs), (near, far), (HUB, NODES[site]), strict=True
    ):
        namespaces.ip([f"link add name {device} netns {router} address {own} type veth peer name {end} netns wan"])
        namespaces.ip([f"link set {end} master {bridge}", f"link set {end} up"], "wan")
        namespaces.ip(
            [
                f"link set {device} up",
                f"neigh add {BEYOND} lladdr {other} dev {device} nud permanent",
                f"route add {there}/32 via {BEYOND} dev {device} onlink",
            ],
            router,
        )
    return Link(f"pcx-{number}", "wan", bridge, near, far, (site, "hub"), routers, device)


def run_inside(code: str, *arguments: str, timeout: float = 200.0) -> subprocess.CompletedProcess[str]:
    """Run Python in namespaces of its own, with this folder on its path."""
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    return subprocess.run(
        ["unshare", "-mn", "--propagation", "private", sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


def needs_namespaces() -> None:
    """Skip, or in CI fail, with the reason, where there are no namespaces of root's to be had."""
    lacks = [tool for tool in ("unshare", "ip", "nft") if not shutil.which(tool)]
    reason = "needs root" if os.geteuid() else f"needs {', '.join(lacks)}" if lacks else ""
    if not reason:
        tried = subprocess.run(["unshare", "-mn", "true"], capture_output=True, text=True, check=False)
        reason = f"no namespaces: {tried.stderr.strip()}" if tried.returncode else ""
    if reason:
        cannot_run(reason)

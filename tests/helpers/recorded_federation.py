"""A federation of real processes in a small network of its own, recorded on the way; run it with :func:`recorded`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import small_network as net
from fl_processes import Federation

from infra.local.twin.capture.record import Crossing, recording
from infra.local.twin.network import flows, namespaces

NODES = ("aggregator", *net.SITES)


def recorded(
    root: Path, *, data: Path | None = None, packages: Path | None = None, again: bool = False, **settings: Any
) -> dict[str, Any]:
    """Train in namespaces of its own.

    Args:
        root: a new folder; ``out/<site>`` becomes the records of a site.
        data: holds a folder of data for each site.
        packages: a folder with installed plug-ins.
        again: train once more when the recording is over.
        settings: of the federation.

    Returns:
        ``codes`` and ``logs`` by node; ``flows``; names of namespaces ``during`` and ``after`` the recording;
        ``codes after`` and ``logs after`` of the second training, which nobody records.
    """
    asked = {"data": data and str(data), "packages": packages and str(packages), "again": again, "settings": settings}
    done = net.run_inside("import recorded_federation as r; r.main()", str(root), json.dumps(asked))
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert set(found["codes"].values()) == {0}, found["logs"]
    return found


class _InNetwork(Federation):
    """Its nodes are in the namespaces of the small network, and dial addresses of the plan."""

    packages: str | None = None

    def environment(self, node: str) -> dict[str, str]:
        given = super().environment(node)
        path = ":".join(filter(None, (given["PYTHONPATH"], str(net.ROOT), self.packages)))
        return {**given, "FEDERATE_ADDRESS_MAP": "", "PYTHONPATH": path}

    def command(self, node: str) -> list[str]:
        where = "eni-hub" if node == "aggregator" else f"eni-{node}"
        output = str(self.root / node / "output")  # where a node's agent starts it as well
        return ["ip", "netns", "exec", where, "env", "-C", output, *super().command(node)]

    def train(self) -> tuple[dict[str, int], dict[str, str]]:
        try:
            self.start_all()
            return {n: self.exit_code(n, 100) for n in NODES}, {n: self.log(n)[-800:] for n in NODES}
        finally:
            self.end()


def main() -> None:
    """Be inside: lay out the network, train, record, and print what came of it."""
    root, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
    links = net.lay_out()
    for link in links.values():
        flows.start(link)
    found = [Crossing(site, links[site], net.NODES[site], f"vpc-{site}", "node", net.HUB) for site in net.SITES]
    run = _made(root / "run", asked)
    for site in net.SITES:
        for shown, node, role in (("aggregator", "aggregator", "aggregator"), ("site", site, "client")):
            run.authority.issue(root / "middle" / site / shown, node, role=role)
    told: dict[str, Any] = {}
    options = {"tls_name": "aggregator.test.federate", "port": net.PORT}
    with recording(found, root / "out", identities=root / "middle", **options):
        told["during"] = sorted(namespaces.names())
        told["codes"], told["logs"] = run.train()
    told["flows"] = flows.report(links.values())
    told["after"] = sorted(namespaces.names())
    if asked["again"]:
        told["codes after"], told["logs after"] = _made(root / "after", asked).train()
    print(json.dumps(told))


def _made(root: Path, asked: dict[str, Any]) -> _InNetwork:
    made = _InNetwork(root, net.SITES, **asked["settings"])
    made.packages = asked["packages"]
    if asked["data"]:
        for site in net.SITES:
            shutil.rmtree(root / site / "data")
            shutil.copytree(Path(asked["data"]) / site, root / site / "data")
    return made

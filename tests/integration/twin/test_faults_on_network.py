"""Faults of links, rules and routes on the network of two sites and a hub, seen from the sites' interfaces."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fabric_ground import FabricGround
from pictures import FL_PORT, address, picture
from twin_world import in_world, world_or_skip

from infra.local.twin.faults import Faults
from infra.local.twin.network.links import Links

pytestmark = pytest.mark.integration

SITES = ("hospital-1", "hospital-2")


@pytest.fixture(autouse=True, scope="module")
def _possible() -> None:
    world_or_skip()


def on_network(story: Callable[[Faults, Callable[[str], float | None]], Any]) -> Any:
    """Run a story on a network of its own; it gets the faults, and what opens the FL port from a site, in ms."""

    def run() -> Any:
        ground, links = FabricGround(picture(2)), Links()
        try:
            with tempfile.TemporaryDirectory() as folder, ground.listening("aggregator", FL_PORT):
                faults = Faults(ground, Path(folder) / "faults.json", links)

                def opens(site: str) -> float | None:
                    return ground.opens_ms(site, address("aggregator"), FL_PORT)

                deadline = time.monotonic() + 20
                while None in [opens(site) for site in SITES] and time.monotonic() < deadline:
                    pass  # the kernel takes its time to call new interfaces up
                return story(faults, opens)
        finally:
            links.close()

    return in_world(run)


def test_a_slow_site_is_slow_and_the_other_is_not():
    def story(faults, opens):
        faults.add("slow", "hospital-1", latency="80ms")
        slow, other = opens("hospital-1"), opens("hospital-2")
        faults.undo("heal", "hospital-1")
        return slow, other, opens("hospital-1")

    slow, other, healed = on_network(story)

    assert 80 <= slow < 100
    assert other < 20
    assert healed < 20


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("cut", {}),
        ("deny-rule", {"rule": "fl-port"}),
        ("delete-route", {"route": "to-hub"}),
        ("delete-route", {"route": "return"}),
    ],
    ids=["cut", "rule", "way there", "way back"],
)
def test_a_site_is_shut_out_alone_and_let_in_again(kind, parameters):
    def story(faults, opens):
        def seen():
            return [opens(site) is not None for site in SITES]

        before = seen()
        fault = faults.add(kind, "hospital-1", **parameters)
        during = seen()
        faults.clear(fault.id)
        return before, during, seen()

    assert on_network(story) == ([True, True], [False, True], [True, True])


def test_a_cut_aggregator_is_reached_by_nobody():
    def story(faults, opens):
        faults.add("cut", "aggregator")
        cut = [opens(site) for site in SITES]
        faults.clear()
        return cut, [opens(site) is not None for site in SITES]

    assert on_network(story) == ([None, None], [True, True])


def test_denying_a_rule_and_a_route_leaves_a_slow_link_slow():
    def story(faults, opens):
        faults.add("slow", "hospital-1", latency="60ms")
        faults.add("deny-rule", "hospital-1", rule="fl-port")
        denied = opens("hospital-1")
        faults.add("delete-route", "hospital-1", route="return")
        for fault in faults.list()[1:]:
            faults.clear(fault.id)
        return denied, opens("hospital-1")

    denied, slow = on_network(story)

    assert denied is None
    assert 60 <= slow < 80

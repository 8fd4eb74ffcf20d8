"""A site's way to the hub and back, from what both accounts say."""

from __future__ import annotations

from typing import Any

import pytest

from infra.deployment.ways import SiteSide, Way, way

SITE = "10.10.0.0/24"


def route(peering: str = "pcx-1", state: str = "active") -> dict[str, Any]:
    return {"DestinationCidrBlock": SITE, "VpcPeeringConnectionId": peering, "State": state}


@pytest.mark.parametrize(
    ("hub_routes", "back"),
    [
        ([route()], "active"),
        ([route(state="blackhole")], "blackhole"),
        ([route("pcx-2")], "over pcx-2"),
        ([{"DestinationCidrBlock": SITE, "GatewayId": "igw-1", "State": "active"}], "over something else"),
        ([{"DestinationCidrBlock": "10.20.0.0/24", "State": "active"}], "missing"),
        ([], "missing"),
        (None, "unknown"),
    ],
)
def test_the_way_back_is_the_hubs_route_over_this_very_peering(hub_routes: Any, back: str) -> None:
    assert way(SiteSide("pcx-1", "active", "active"), hub_routes, SITE).back == back


def test_a_way_is_open_only_with_peering_and_both_routes() -> None:
    assert Way("pcx-1", "active", "active", "active").is_open
    for broken in (("deleted", "active", "active"), ("active", "blackhole", "active"), ("active", "active", "missing")):
        assert not Way("pcx-1", *broken).is_open


def test_a_way_says_what_of_it_is_not_open() -> None:
    assert str(Way("pcx-1", "active", "active", "active")) == "open"
    assert str(Way("", "missing", "missing", "missing")) == "none"
    assert str(Way("pcx-1", "pending-acceptance", "active", "missing")) == (
        "peering pending-acceptance, route back missing"
    )

"""What ``federate doctor`` says of nodes that it cannot ask."""

from __future__ import annotations

from typing import Any

import pytest

from infra.doctor import Missing, of_nodes
from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.nodes.remote import Remote


class NobodyAsks:
    """Accounts, and a way to nodes, that must not be used."""

    def client(self, service: str, **_: Any) -> Any:
        pytest.fail(f"{service} was asked")

    def run(self, *_: Any) -> Any:
        pytest.fail("a node was asked")


def test_a_site_that_its_own_admin_operates_is_one_line_that_says_so() -> None:
    federation = Federation.model_validate(
        {
            "name": "fed",
            "region": "us-east-1",
            "aggregator": {"account": "333333333333", "profile": "aggregator", "cidr": "10.30.0.0/16"},
            "participants": [
                {"id": "hospital-b", "account": "222222222222", "operated_by": "site", "cidr": "10.20.0.0/16"}
            ],
        }
    )
    nobody: Any = NobodyAsks()
    (told,) = of_nodes([Remote(federation, nodes(federation)[1], nobody)], federation, nobody)
    assert isinstance(told, Missing)
    assert told.name == "nodes/hospital-b"
    assert "Its own admin operates it" in told.why

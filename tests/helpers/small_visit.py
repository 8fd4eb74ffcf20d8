"""A small federation, and visits to its accounts for the checks of a preflight."""

from __future__ import annotations

from typing import Any

from infra.federation.model import Aggregator, Federation, Participant
from stacks.plan import StackPlan

IMAGE = "ami-0123456789abcdef0"


def federation(**changes: Any) -> Federation:
    """Return a federation of one site; ``hub`` and ``site`` change the blocks, anything else the federation."""
    hub, site = changes.pop("hub", {}), changes.pop("site", {})
    return Federation(
        **{
            "name": "fed",
            "region": "us-east-1",
            "images": {"us-east-1": IMAGE},
            "aggregator": Aggregator(
                **{"account": "333333333333", "profile": "aggregator", "cidr": "10.30.0.0/16", **hub}
            ),
            "participants": (
                Participant(
                    **{
                        "id": "hospital-a",
                        "account": "111111111111",
                        "profile": "hospital-a",
                        "cidr": "10.10.0.0/16",
                        **site,
                    }
                ),
            ),
            **changes,
        }
    )


def stack(id_: str, node: str = "hospital-a", account: str = "111111111111") -> StackPlan:
    return StackPlan(id_, f"fed-{id_}", "sites", node, account, "us-east-1", node, {}, (), ())

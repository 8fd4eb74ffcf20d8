"""Sites that their own admins operate: what of them the hub deploys and deletes, with the hub's credentials alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.accounts import Accounts, explained
from infra.deployment.condition import Condition, Stacks
from infra.deployment.groups import linked_site
from infra.federation.derive import AGGREGATOR_ID
from stacks.plan import DeploymentPlan, StackPlan

_ENDED = ("deleted", "deleting", "rejected", "failed", "expired")


def sites_elsewhere(plan: DeploymentPlan) -> tuple[str, ...]:
    """Return the ids of the sites whose accounts nobody here has credentials of."""
    return tuple(dict.fromkeys(stack.node for stack in plan.stacks if not stack.is_operated_here))


def ours(stacks: Sequence[StackPlan]) -> tuple[StackPlan, ...]:
    """Return those stacks whose accounts the coordinator has credentials of; links to every site are among them."""
    return tuple(stack for stack in stacks if stack.is_operated_here)


def without_unjoined(
    plan: DeploymentPlan, stacks: Sequence[StackPlan], accounts: Accounts
) -> tuple[tuple[StackPlan, ...], tuple[str, ...]]:
    """Take out the links to sites elsewhere that have not joined: what they need is in no account of ours yet.

    Returns:
        The other stacks, and the ids of the sites that have not joined.
    """
    elsewhere, reader = sites_elsewhere(plan), Stacks(accounts)
    waiting = tuple(
        stack
        for stack in stacks
        if linked_site(plan, stack) in elsewhere and reader.condition(stack) in (Condition.ABSENT, Condition.BROKEN)
    )
    kept = tuple(stack for stack in stacks if stack not in waiting)
    return kept, tuple(str(linked_site(plan, stack)) for stack in waiting)


def given_before(stack: StackPlan, accounts: Accounts) -> Mapping[str, str]:
    """Return the parameters that a deployed stack was given; none if it is not deployed."""
    described = Stacks(accounts).describe(stack) or {}
    return {one["ParameterKey"]: str(one.get("ParameterValue", "")) for one in described.get("Parameters", [])}


def peerings(plan: DeploymentPlan, accounts: Accounts) -> list[dict[str, Any]]:
    """Return the peerings that sites elsewhere have with the hub's VPC, as the hub's account shows them."""
    network = next(stack for stack in plan.stacks if stack.id == "HubNetwork")
    vpc = Stacks(accounts).outputs(network).get("VpcId")
    if vpc is None:
        return []
    owners = {stack.account for stack in plan.stacks if not stack.is_operated_here}
    with explained(f"{AGGREGATOR_ID}, account {network.account}, profile {network.profile}"):
        found = _ec2(network, accounts).describe_vpc_peering_connections(
            Filters=[{"Name": "accepter-vpc-info.vpc-id", "Values": [vpc]}]
        )["VpcPeeringConnections"]
    return [
        one
        for one in found
        if one["AccepterVpcInfo"].get("VpcId") == vpc
        and one["RequesterVpcInfo"]["OwnerId"] in owners
        and one["Status"]["Code"] not in _ENDED
    ]


def delete_peerings(plan: DeploymentPlan, accounts: Accounts) -> tuple[str, ...]:
    """Delete them, as either side may, so that the hub's VPC can go; return the accounts that are cut off by it."""
    network = next(stack for stack in plan.stacks if stack.id == "HubNetwork")
    cut = []
    for one in peerings(plan, accounts):
        with explained(f"{AGGREGATOR_ID}, account {network.account}, profile {network.profile}"):
            _ec2(network, accounts).delete_vpc_peering_connection(VpcPeeringConnectionId=one["VpcPeeringConnectionId"])
        cut.append(str(one["RequesterVpcInfo"]["OwnerId"]))
    return tuple(cut)


def in_words(left_out: Sequence[str], unjoined: Sequence[str] = ()) -> str:
    """Say which sites a command leaves to their own admins, and which of them have not joined."""
    lines = [f"Left to their own admins: {', '.join(left_out)}."] if left_out else []
    lines += [
        f"  {site} has not joined yet: federate export {site}; then, with what comes back, federate join FILE."
        for site in unjoined
    ]
    return "\n".join(lines)


def _ec2(stack: StackPlan, accounts: Accounts) -> Any:
    return accounts.client("ec2", profile=stack.profile, region=stack.region)

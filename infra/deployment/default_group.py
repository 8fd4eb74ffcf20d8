"""Empties the default security group of each VPC, which CloudFormation makes with a VPC and cannot change.

Nothing of the federation is in that group. Empty, it admits nothing to what somebody puts into the VPC by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.accounts import Accounts, explained
from infra.deployment.condition import Stacks
from stacks.plan import StackPlan

_VPC = "VpcId"


def empty_default_groups(stacks: Iterable[StackPlan], accounts: Accounts) -> list[str]:
    """Revoke every rule of the default groups of the VPCs that these stacks have made.

    Args:
        stacks: of the plan; those without a VPC, and those that are not deployed, are passed over.
        accounts: AWS's APIs.

    Returns:
        The stacks' names whose VPC's default group had rules.

    Raises:
        AwsRefused: an account does not allow it.
    """
    changed = []
    for stack in stacks:
        if _VPC not in stack.outputs:
            continue
        with explained(f"{stack.node}, account {stack.account}, profile {stack.profile}"):
            vpc = Stacks(accounts).outputs(stack).get(_VPC)
            ec2 = accounts.client("ec2", profile=stack.profile, region=stack.region)
            if vpc is not None and _empty(ec2, vpc):
                changed.append(stack.name)
    return changed


def _empty(ec2: Any, vpc: str) -> bool:
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    (group,) = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    changed = False
    for rules, revoke in (
        (group["IpPermissions"], ec2.revoke_security_group_ingress),
        (group["IpPermissionsEgress"], ec2.revoke_security_group_egress),
    ):
        if rules:
            revoke(GroupId=group["GroupId"], IpPermissions=[_asked(rule) for rule in rules])
            changed = True
    return changed


def _asked(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule as a request takes it: a list that is told empty must not be asked for."""
    return {name: value for name, value in rule.items() if value != []}

"""A log group that was taken over is encrypted by the key of the deployment that takes it over.

CloudFormation imports a resource as it is: a log group that was retained still has the key of the deployment before,
while its template names the new one. What is logged from now on is encrypted by the new key; what was logged before
stays readable as long as the old key is there.

Source: "Encrypt log data in CloudWatch Logs" of the CloudWatch Logs User Guide, on changing a log group's key.
"""

from __future__ import annotations

from collections.abc import Iterable

from infra.accounts import Accounts, explained
from infra.deployment.condition import Stacks
from stacks.plan import StackPlan


def follow_keys(federation: str, stacks: Iterable[StackPlan], accounts: Accounts) -> tuple[str, ...]:
    """Give each node's log groups the key of its storage stack; return the log groups whose key was another.

    Args:
        federation: the federation's name.
        stacks: those that were deployed; only storage stacks have a key.
        accounts: AWS's APIs.

    Raises:
        AwsRefused: AWS refuses.
    """
    return tuple(name for stack in stacks if "KeyArn" in stack.outputs for name in _follow(federation, stack, accounts))


def _follow(federation: str, stack: StackPlan, accounts: Accounts) -> list[str]:
    name = f"/federate/{federation}/{stack.node}"
    with explained(f"{stack.node}, account {stack.account}, profile {stack.profile}"):
        key = Stacks(accounts).outputs(stack)["KeyArn"]
        logs = accounts.client("logs", profile=stack.profile, region=stack.region)
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        groups = {group["logGroupName"]: group.get("kmsKeyId") for page in pages for group in page["logGroups"]}
        own = [group for group in groups if f"{group}/".startswith(f"{name}/")]
        others = [group for group in own if groups[group] != key]
        for group in others:
            logs.associate_kms_key(logGroupName=group, kmsKeyId=key)
    return others

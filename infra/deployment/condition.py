"""What a stack's CloudFormation status means for the next deployment or teardown, and why a stack failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from infra.accounts import Accounts
from infra.errors import FederateError
from stacks.plan import StackPlan


class Condition(StrEnum):
    """What can be done with a stack."""

    ABSENT = "absent"
    GOOD = "good"
    BUSY = "busy"
    #: A creation or deletion that failed: it can only be deleted.
    BROKEN = "broken"
    #: Someone has to decide; see :data:`REMEDIES`.
    STUCK = "stuck"


#: Statuses in which CloudFormation itself can go neither forth nor back.
#: Source: AWS CloudFormation User Guide, "Troubleshooting CloudFormation".
REMEDIES: Mapping[str, str] = {
    "UPDATE_ROLLBACK_FAILED": "Repair what the reason names, then: aws cloudformation continue-update-rollback "
    "--stack-name {name} --region {region} --profile {profile}",
    "UPDATE_FAILED": "Undo it: aws cloudformation rollback-stack --stack-name {name} --region {region} "
    "--profile {profile}",
    "IMPORT_ROLLBACK_FAILED": "Repair it in the CloudFormation console: it comes from an import made by hand.",
}
_BROKEN = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS")


def judge(status: str | None) -> Condition:
    """Return what a status means; None is a stack that does not exist."""
    if status is None or status == "DELETE_COMPLETE":
        return Condition.ABSENT
    if status in _BROKEN:
        return Condition.BROKEN
    if status in REMEDIES:
        return Condition.STUCK
    return Condition.BUSY if status.endswith("_IN_PROGRESS") else Condition.GOOD


class StackFailed(FederateError):
    """One stack could not be deployed or deleted."""

    def __init__(self, stack: StackPlan, reason: str, *, remedy: str) -> None:
        super().__init__(f"{stack.name} in account {stack.account} ({stack.region}): {reason}", remedy=remedy)
        self.stack = stack


@dataclass(frozen=True, slots=True)
class Stacks:
    """The plan's stacks as CloudFormation has them."""

    accounts: Accounts

    def describe(self, stack: StackPlan) -> Mapping[str, Any] | None:
        """Return CloudFormation's description of the stack, or None if there is no such stack."""
        try:
            found = self._client(stack).describe_stacks(StackName=stack.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return found[0] if found else None

    def status(self, stack: StackPlan) -> str | None:
        """Return the stack's status, or None if there is no such stack."""
        description = self.describe(stack)
        return None if description is None else str(description["StackStatus"])

    def condition(self, stack: StackPlan) -> Condition:
        """Return what can be done with the stack now."""
        return judge(self.status(stack))

    def outputs(self, stack: StackPlan) -> dict[str, str]:
        """Return the stack's outputs; none if it does not exist."""
        description = self.describe(stack) or {}
        return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}

    def delete(self, stack: StackPlan) -> None:
        """Have CloudFormation begin to delete the stack."""
        self._client(stack).delete_stack(StackName=stack.name)

    def events(self, stack: StackPlan) -> list[Mapping[str, Any]]:
        """Return the newest events of the stack, newest first; none if it does not exist."""
        try:
            events = self._client(stack).describe_stack_events(StackName=stack.name)["StackEvents"]
        except ClientError:
            return []
        return list(events)

    def reason(self, stack: StackPlan) -> str:
        """Return why the stack's last operation failed: the first resource that did, in CloudFormation's words.

        Resources that were cancelled because another failed are not the reason.
        """
        failed: list[str] = []
        for event in self.events(stack):
            reason = str(event.get("ResourceStatusReason") or "")
            if str(event["ResourceStatus"]).endswith("_FAILED") and reason and "cancelled" not in reason:
                failed.append(f"{event['LogicalResourceId']} ({event.get('ResourceType', '')}): {reason}")
            if _is_beginning(event, stack):
                break
        if failed:
            return failed[-1]
        description = self.describe(stack) or {}
        return str(
            description.get("StackStatusReason") or description.get("StackStatus") or "CloudFormation says nothing"
        )

    def stuck(self, stack: StackPlan, status: str) -> StackFailed:
        """Return the error for a stack in a status that only a person can end."""
        remedy = REMEDIES[status].format(name=stack.name, region=stack.region, profile=stack.profile)
        return StackFailed(stack, f"is {status}: {self.reason(stack)}", remedy=remedy)

    def _client(self, stack: StackPlan) -> Any:
        return self.accounts.client("cloudformation", profile=stack.profile, region=stack.region)


def _is_beginning(event: Mapping[str, Any], stack: StackPlan) -> bool:
    """Say whether an event is the first of the stack's last operation that a user asked for."""
    return bool(
        event["LogicalResourceId"] == stack.name
        and event["ResourceStatus"]
        in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS")
    )

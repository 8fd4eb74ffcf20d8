"""What a stack's CloudFormation status means for the next deployment or teardown, and why a stack failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import Accounts, with_cause
from infra.errors import FederateError
from infra.remedies import meaning
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
    "UPDATE_ROLLBACK_FAILED": "Once what the reason names is repaired: aws cloudformation continue-update-rollback "
    "--stack-name {name} --region {region} --profile {profile}.",
    "UPDATE_FAILED": "Undo it: aws cloudformation rollback-stack --stack-name {name} --region {region} "
    "--profile {profile}.",
    "IMPORT_ROLLBACK_FAILED": "Repair it in the CloudFormation console: it comes from an import made by hand.",
}
#: The exit code where somebody's permissions are the matter.
_CREDENTIALS = 3
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
    """One stack could not be deployed or deleted.

    Args:
        stack: which.
        reason: why, in CloudFormation's words, or those of the CDK command; what is known of their meaning is added.
        remedy: what to do where the meaning is not known.
        then: what to do afterwards in any case.
    """

    def __init__(self, stack: StackPlan, reason: str, *, remedy: str = "", then: str = "") -> None:
        known = meaning(reason, profile=stack.profile, region=stack.region)
        found = f"{stack.name} in account {stack.account} ({stack.region}): {reason}"
        steps = (known.remedy if known else remedy, then)
        super().__init__(
            with_cause(found, known.cause if known else ""), remedy=" ".join(step for step in steps if step)
        )
        self.stack = stack
        if known and known.exit_code == _CREDENTIALS:
            self.exit_code = _CREDENTIALS


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
        return StackFailed(
            stack, f"is {status}: {self.reason(stack)}", then=f"{remedy} Then run the same command again."
        )

    def _client(self, stack: StackPlan) -> Any:
        return self.accounts.client("cloudformation", profile=stack.profile, region=stack.region)


def what_is_left(stacks: Sequence[StackPlan], reader: Stacks) -> list[str]:
    """Say which of some stacks a deployment that failed has left unfinished, and what the next one does with them.

    Stacks that are in order are not named. Where AWS does not say, that is said.
    """
    try:
        found = [(stack, reader.status(stack)) for stack in stacks]
    except (BotoCoreError, ClientError) as error:
        return [f"What exists now could not be asked: {error}"]
    unfinished = [(stack, status, judge(status)) for stack, status in found]
    lines = [
        f"  {stack.name} in account {stack.account}: {status or 'not made yet'}; {_NEXT[condition]}"
        for stack, status, condition in unfinished
        if condition is not Condition.GOOD
    ]
    rest = ["All other stacks are in order."] if len(lines) < len(unfinished) else []
    return ["Unfinished:", *lines, *rest] if lines else []


#: What the same command does next with a stack.
_NEXT = {
    Condition.ABSENT: "the same command makes it.",
    Condition.BUSY: "CloudFormation is still at it; the same command waits for that.",
    Condition.BROKEN: "the same command deletes it and makes it anew.",
    Condition.STUCK: "it waits for you, as said above.",
}


def _is_beginning(event: Mapping[str, Any], stack: StackPlan) -> bool:
    """Say whether an event is the first of the stack's last operation that a user asked for."""
    return bool(
        event["LogicalResourceId"] == stack.name
        and event["ResourceStatus"]
        in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS")
    )

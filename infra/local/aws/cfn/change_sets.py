"""Change sets: what would change, kept until it is executed or deleted."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from infra.local.aws.cfn.errors import CloudFormationError
from infra.local.aws.cfn.operation import Request
from infra.local.aws.cfn.plan import Change, Invalid
from infra.local.aws.cfn.stack import Stack, now

#: CreateChangeSet's answer to an update that changes nothing; the CDK CLI recognises the text.
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
#: What a change set says whose properties are refused; DescribeEvents has the details (aws/aws-cdk-cli issue 1000).
EARLY_VALIDATION = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::PropertyValidation]. "
    "To troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure information."
)


@dataclass
class ChangeSet:
    """One change set of a stack."""

    stack: Stack
    name: str
    kind: Literal["CREATE", "UPDATE"]
    request: Request
    capabilities: tuple[str, ...]
    description: str | None
    on_failure: str | None
    changes: tuple[Change, ...] = ()
    invalid: tuple[Invalid, ...] = ()
    status: str = "CREATE_COMPLETE"
    execution: str = "AVAILABLE"
    reason: str | None = None
    created: datetime = field(default_factory=now)
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            place = self.stack.place
            self.id = f"arn:aws:cloudformation:{place.region}:{place.account}:changeSet/{self.name}/{uuid.uuid4()}"

    def fail(self, reason: str) -> None:
        """Mark it as one that cannot be executed."""
        self.status, self.execution, self.reason = "FAILED", "UNAVAILABLE", reason


def kind_of(given: str | None, stack: Stack | None) -> Literal["CREATE", "UPDATE"]:
    """Check the requested type against the stack.

    Raises:
        CloudFormationError: IMPORT, which is not implemented; CREATE for a stack that exists, or UPDATE for none.
    """
    kind = given or "UPDATE"
    if kind not in ("CREATE", "UPDATE"):
        raise CloudFormationError(f"ChangeSetType {kind} is not implemented on loopback AWS (allowed: CREATE, UPDATE)")
    if stack is None:
        return "CREATE"
    if kind == "CREATE" and stack.status != "REVIEW_IN_PROGRESS":
        raise CloudFormationError(
            f"Stack [{stack.name}] already exists and cannot be created again with the changeSet.",
            code="AlreadyExistsException",
        )
    if kind == "UPDATE" and stack.status == "REVIEW_IN_PROGRESS":
        raise CloudFormationError(f"Stack [{stack.id}] does not exist")
    if stack.in_progress or stack.status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "CREATE_FAILED"):
        raise CloudFormationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
    return "CREATE" if kind == "CREATE" else "UPDATE"

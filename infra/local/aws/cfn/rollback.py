"""Putting a stack back after a failure, and saying why.

Source: "Update rollback" and "Stack failure options" in the AWS CloudFormation User Guide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.local.aws.cfn.deletion import MakeCall, Remover, policy_of
from infra.local.aws.cfn.failures import event_reason
from infra.local.aws.cfn.stack import Resource, Stack
from infra.local.aws.resources.base import Handler


@dataclass(frozen=True, slots=True)
class Step:
    """Something that an operation did, and what was there before: None if nothing was."""

    logical_id: str
    before: Resource | None
    replaced: bool = False


def undo_creation(stack: Stack, remover: Remover, reason: str) -> None:
    """Delete what a failed creation made; the empty stack stays, with the reason in its events."""
    stack.move("ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user.")
    failed = remover.remove_all(stack, list(stack.resources), rolling_back=True)
    if failed:
        stack.move("ROLLBACK_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}]. ")
    else:
        stack.move("ROLLBACK_COMPLETE")


def undo_update(
    stack: Stack,
    steps: Sequence[Step],
    remover: Remover,
    handlers: Mapping[str, Handler],
    make_call: MakeCall,
    reason: str,
) -> None:
    """Change back what a failed update changed, last first, and then delete what it made."""
    stack.move("UPDATE_ROLLBACK_IN_PROGRESS", reason)
    unwanted: list[Resource] = []
    failed: list[str] = []
    for step in reversed(steps):
        present = stack.resources[step.logical_id]
        if step.before is None:
            unwanted.append(stack.resources.pop(step.logical_id))
        elif step.replaced:
            unwanted.append(present)
            stack.resources[step.logical_id] = step.before
        elif not _change_back(stack, present, step.before, handlers, make_call):
            failed.append(step.logical_id)
    if failed:
        stack.move("UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: [{', '.join(failed)}]. ")
        return
    stack.move("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    for resource in unwanted:
        remover.remove(stack, resource, policy_of(resource, rolling_back=True))
    stack.move("UPDATE_ROLLBACK_COMPLETE", reason)


def _change_back(
    stack: Stack, present: Resource, before: Resource, handlers: Mapping[str, Handler], make_call: MakeCall
) -> bool:
    name, physical = before.logical_id, before.physical_id
    stack.record(name, physical, before.type, "UPDATE_IN_PROGRESS")
    try:
        handlers[before.type].update(make_call(stack, name), physical, present.properties, before.properties)
    except Exception as error:
        stack.record(name, physical, before.type, "UPDATE_FAILED", event_reason(before.type, error))
        return False
    stack.resources[name] = before
    stack.record(name, physical, before.type, "UPDATE_COMPLETE")
    return True

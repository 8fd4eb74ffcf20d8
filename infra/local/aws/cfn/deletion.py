"""Deleting resources: in reverse order, as their deletion policies say, going on where one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from infra.local.aws.cfn.failures import event_reason, is_gone
from infra.local.aws.cfn.graph import in_order, needed_by
from infra.local.aws.cfn.stack import Resource, Stack, now
from infra.local.aws.resources.base import Call, Handler

MakeCall = Callable[[Stack, str], Call]


def policy_of(resource: Resource, *, rolling_back: bool) -> str:
    """Return a resource's deletion policy where its stack is deleted, or the making of the resource is undone."""
    if rolling_back and resource.imported:
        return "Retain"
    if resource.deletion_policy == "RetainExceptOnCreate":
        return "Delete" if rolling_back else "Retain"
    return resource.deletion_policy


class Remover:
    """Deletes resources of stacks through their handlers."""

    def __init__(self, handlers: Mapping[str, Handler], make_call: MakeCall) -> None:
        self._handlers = handlers
        self._make_call = make_call

    def remove(self, stack: Stack, resource: Resource, policy: str) -> bool:
        """Delete one resource, or leave it where the policy says so; record what happened.

        Returns:
            Whether it is out of the stack's hands: deleted, gone already, or retained.
        """
        physical, kind = resource.physical_id, resource.type
        if policy == "Retain":
            stack.record(resource.logical_id, physical, kind, "DELETE_SKIPPED")
            return True
        stack.record(resource.logical_id, physical, kind, "DELETE_IN_PROGRESS")
        handler, call = self._handlers[kind], self._make_call(stack, resource.logical_id)
        try:
            if policy == "Snapshot":
                handler.snapshot(call, physical)
            handler.delete(call, physical, resource.properties)
        except Exception as error:
            if not is_gone(error):
                resource.status, resource.reason = "DELETE_FAILED", event_reason(kind, error)
                resource.changed = now()
                stack.record(resource.logical_id, physical, kind, "DELETE_FAILED", resource.reason)
                return False
        stack.record(resource.logical_id, physical, kind, "DELETE_COMPLETE")
        return True

    def remove_all(self, stack: Stack, names: Iterable[str], *, rolling_back: bool = False) -> tuple[str, ...]:
        """Delete resources of a stack in reverse order of their making.

        What a failed resource still needs is not touched; everything else is tried.

        Args:
            stack: whose resources they are; deleted ones are dropped from it.
            names: logical ids.
            rolling_back: whether a creation is undone, where RetainExceptOnCreate means Delete.

        Returns:
            The logical ids that failed to delete.
        """
        wanted = set(names)
        needs = {name: resource.needs for name, resource in stack.resources.items()}
        failed: list[str] = []
        spared: set[str] = set()
        for name in reversed(in_order(needs)):
            if name not in wanted or name in spared:
                continue
            resource = stack.resources[name]
            policy = policy_of(resource, rolling_back=rolling_back)
            if self.remove(stack, resource, policy):
                del stack.resources[name]
            else:
                failed.append(name)
                spared |= needed_by(name, needs)
        return tuple(failed)

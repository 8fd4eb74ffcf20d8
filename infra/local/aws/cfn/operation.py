"""One operation on a stack: make or change its resources, one after the other.

Source: "Stack failure options" and "Update behaviors of stack resources" in the AWS CloudFormation User Guide.
CloudFormation makes independent resources side by side; here they follow each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from infra.local.aws.cfn.deletion import MakeCall, Remover
from infra.local.aws.cfn.errors import CloudFormationError, ResourceFailure
from infra.local.aws.cfn.failures import event_reason
from infra.local.aws.cfn.functions import KNOWN_AFTER_APPLY, Resolver
from infra.local.aws.cfn.graph import creation_order, dependencies
from infra.local.aws.cfn.parameters import Parameter
from infra.local.aws.cfn.plan import desired_properties, property_changes
from infra.local.aws.cfn.rollback import Step, undo_creation, undo_update
from infra.local.aws.cfn.stack import Output, Resource, Stack, now
from infra.local.aws.cfn.template import ResourceDefinition, Template
from infra.local.aws.cfn.world import StackWorld
from infra.local.aws.resources.base import Handler


@dataclass(frozen=True, slots=True)
class Request:
    """What a stack shall become."""

    template: Template
    parameters: Mapping[str, Parameter]
    tags: Mapping[str, str]
    creating: bool
    disable_rollback: bool = False
    #: Resources that exist and are taken into the stack as they are.
    imports: frozenset[str] = frozenset()


class _Stop(Exception):
    """The operation cannot go on; the text is the stack's StackStatusReason."""


class Operation:
    """Creates or updates one stack.

    Args:
        stack: the stack; its status already says that the operation runs.
        request: what it shall become.
        handlers: the resource types.
        make_call: binds an action to a stack's account.
        make_world: gives the view of the stack that functions need.
        check_exports: raises CloudFormationError where new outputs clash with other stacks.
    """

    def __init__(
        self,
        stack: Stack,
        request: Request,
        handlers: Mapping[str, Handler],
        make_call: MakeCall,
        make_world: Callable[[Stack], StackWorld],
        check_exports: Callable[[Stack, tuple[Output, ...]], None],
    ) -> None:
        self._stack = stack
        self._request = request
        self._handlers = handlers
        self._make_call = make_call
        self._remover = Remover(handlers, make_call)
        self._check_exports = check_exports
        self._world = make_world(stack)
        self._resolver = Resolver(request.template, request.parameters, stack.place, self._world)
        self._steps: list[Step] = []
        self._verb = "create" if request.creating else "update"

    def run(self) -> None:
        """Do it; the outcome is the stack's status."""
        stack = self._stack
        kind = self._verb.upper()
        stack.move(f"{kind}_IN_PROGRESS", "User Initiated")
        try:
            live = self._make()
            outputs = self._outputs()
            self._check_exports(stack, outputs)
        except (_Stop, CloudFormationError, ResourceFailure) as failure:
            self._fail(str(failure))
            return
        self._clean_up(live)
        stack.template = self._request.template
        stack.parameters = dict(self._request.parameters)
        stack.tags = dict(self._request.tags)
        stack.outputs, stack.imports = outputs, frozenset(self._world.imports)
        if not self._request.creating:
            stack.updated = now()
        stack.move(f"{kind}_COMPLETE")

    def _make(self) -> tuple[str, ...]:
        template = self._request.template
        live = self._resolver.live_resources()
        for name in creation_order(template.resources):
            if name in live:
                self._bring_about(template.resources[name])
        return live

    def _bring_about(self, definition: ResourceDefinition) -> None:
        name, kind = definition.logical_id, definition.type
        handler, current = self._handlers[kind], self._stack.resources.get(name)
        try:
            properties = desired_properties(definition, handler, self._resolver, self._request.tags)
            if KNOWN_AFTER_APPLY in json.dumps(properties, default=str):
                raise ResourceFailure(f"Unresolved resource dependencies in the properties of {name}")
            problems = handler.schema.problems(properties)
            if problems:
                raise ResourceFailure(f"Properties validation failed for resource {name} with message: {problems[0]}")
        except Exception as error:
            self._resource_failed(definition, current, error)
        if current is None:
            make = self._import if name in self._request.imports else self._create
            make(definition, handler, properties, None)
            return
        changes = property_changes(handler, current.properties, properties)
        if any(change.recreation != "Never" for change in changes):
            self._replace(definition, handler, current, properties)
        elif changes:
            self._update(definition, handler, current, properties)
        else:
            current.metadata = definition.metadata
            current.deletion_policy, current.replace_policy = definition.deletion_policy, definition.replace_policy
            current.needs = self._needs(definition)

    def _create(
        self, definition: ResourceDefinition, handler: Handler, properties: dict[str, object], old: Resource | None
    ) -> None:
        name, kind = definition.logical_id, definition.type
        verb = "CREATE" if old is None else "UPDATE"
        if old is None:
            self._stack.record(name, "", kind, "CREATE_IN_PROGRESS")
        call = self._make_call(self._stack, name)
        try:
            made = handler.create(call, properties)
        except Exception as error:
            if call.half_made is not None:
                half = self._resource(definition, properties, call.half_made, call.half_made, {})
                half.status = "CREATE_FAILED"
                self._stack.resources[name] = half
                self._steps.append(Step(name, old, replaced=old is not None))
            self._resource_failed(definition, old, error)
        resource = self._resource(
            definition, properties, made.physical_id, made.ref or made.physical_id, made.attributes
        )
        resource.status = f"{verb}_COMPLETE"
        self._stack.resources[name] = resource
        self._steps.append(Step(name, old, replaced=old is not None))
        self._stack.record(name, made.physical_id, kind, resource.status)

    def _import(self, definition: ResourceDefinition, handler: Handler, properties: dict[str, object], _: None) -> None:
        """Take a resource that exists into the stack; its configuration is not touched, whatever the template says."""
        name, kind = definition.logical_id, definition.type
        self._stack.record(name, "", kind, "IMPORT_IN_PROGRESS", "Resource import started.")
        custom = str(properties[handler.schema.name or ""])
        try:
            found = handler.find(self._make_call(self._stack, name), custom)
            if found is None:
                raise ResourceFailure(f"Resource of type '{kind}' with identifier '{custom}' was not found.")
        except Exception as error:
            self._resource_failed(definition, None, error)
        resource = self._resource(
            definition, properties, found.physical_id, found.ref or found.physical_id, found.attributes
        )
        resource.status, resource.imported = "IMPORT_COMPLETE", True
        self._stack.resources[name] = resource
        self._steps.append(Step(name, None))
        self._stack.record(name, found.physical_id, kind, resource.status, "Resource import completed.")

    def _replace(
        self, definition: ResourceDefinition, handler: Handler, current: Resource, properties: dict[str, object]
    ) -> None:
        custom = handler.schema.name
        if custom and custom in properties and properties[custom] == current.properties.get(custom):
            named = f"{properties[custom]}"
            error = ResourceFailure(
                f"CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {named} and update the stack again.",
                code="InvalidRequest",
            )
            self._resource_failed(definition, current, error)
        self._stack.record(
            definition.logical_id,
            current.physical_id,
            definition.type,
            "UPDATE_IN_PROGRESS",
            "Requested update requires the creation of a new physical resource; hence creating one.",
        )
        self._create(definition, handler, properties, current)

    def _update(
        self, definition: ResourceDefinition, handler: Handler, current: Resource, properties: dict[str, object]
    ) -> None:
        name, kind = definition.logical_id, definition.type
        self._stack.record(name, current.physical_id, kind, "UPDATE_IN_PROGRESS")
        wanted = self._resource(definition, properties, current.physical_id, current.ref, current.attributes)
        self._steps.append(Step(name, current))
        self._stack.resources[name] = wanted
        try:
            changed = handler.update(
                self._make_call(self._stack, name), current.physical_id, current.properties, properties
            )
        except Exception as error:
            wanted.status = "UPDATE_FAILED"
            self._resource_failed(definition, current, error)
        wanted.attributes = {**current.attributes, **changed}
        wanted.status = "UPDATE_COMPLETE"
        self._stack.record(name, current.physical_id, kind, "UPDATE_COMPLETE")

    def _resource(
        self,
        definition: ResourceDefinition,
        properties: dict[str, object],
        physical_id: str,
        ref: str,
        attributes: Mapping[str, str | list[str]],
    ) -> Resource:
        return Resource(
            logical_id=definition.logical_id,
            type=definition.type,
            physical_id=physical_id,
            ref=ref,
            attributes=attributes,
            properties=properties,
            metadata=definition.metadata,
            deletion_policy=definition.deletion_policy,
            replace_policy=definition.replace_policy,
            needs=self._needs(definition),
        )

    def _needs(self, definition: ResourceDefinition) -> frozenset[str]:
        return frozenset(dependencies(definition, self._request.template.resources))

    def _resource_failed(self, definition: ResourceDefinition, current: Resource | None, error: Exception) -> NoReturn:
        verb = "CREATE" if current is None else "UPDATE"
        physical = current.physical_id if current else ""
        reason = event_reason(definition.type, error)
        self._stack.record(definition.logical_id, physical, definition.type, f"{verb}_FAILED", reason)
        raise _Stop(f"The following resource(s) failed to {verb.lower()}: [{definition.logical_id}]. ") from error

    def _outputs(self) -> tuple[Output, ...]:
        outputs = []
        for key, declaration in self._request.template.outputs.items():
            if "Condition" in declaration and not self._resolver.condition(declaration["Condition"]):
                continue
            export = declaration.get("Export", {}).get("Name")
            outputs.append(
                Output(
                    key,
                    str(self._resolver.value(declaration["Value"])),
                    declaration.get("Description"),
                    str(self._resolver.value(export)) if export is not None else None,
                )
            )
        return tuple(outputs)

    def _clean_up(self, live: tuple[str, ...]) -> None:
        stack = self._stack
        gone = [name for name in stack.resources if name not in live]
        replaced = [step.before for step in reversed(self._steps) if step.replaced and step.before]
        if not (gone or replaced or stack.leftovers):
            return
        stack.move("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for old in (*replaced, *stack.leftovers):
            self._remover.remove(stack, old, old.replace_policy)
        stack.leftovers = []
        for name in self._remover.remove_all(stack, gone):
            del stack.resources[name]

    def _fail(self, reason: str) -> None:
        stack = self._stack
        if self._request.disable_rollback:
            stack.leftovers += [step.before for step in self._steps if step.replaced and step.before]
            stack.move(f"{self._verb.upper()}_FAILED", reason)
        elif self._request.creating:
            stack.template, stack.parameters = self._request.template, dict(self._request.parameters)
            undo_creation(stack, self._remover, reason)
        else:
            undo_update(stack, self._steps, self._remover, self._handlers, self._make_call, reason)

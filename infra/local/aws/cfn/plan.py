"""What an update would do to a stack: the change set. Pure: nothing is made here.

Source: "ResourceChange", "ResourceTargetDefinition" and "DescribeChangeSet" in the AWS CloudFormation API Reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from infra.local.aws.cfn.errors import CloudFormationError, TemplateError
from infra.local.aws.cfn.functions import KNOWN_AFTER_APPLY, Resolver
from infra.local.aws.cfn.graph import creation_order, references
from infra.local.aws.cfn.stack import Resource
from infra.local.aws.cfn.template import ResourceDefinition, Template
from infra.local.aws.resources.base import Handler

Find = Callable[[ResourceDefinition, str], str | None]
Replacement = Literal["True", "False", "Conditional"]


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """One property that would change; ``recreation`` is AWS's Never, Conditionally or Always."""

    name: str
    before: Any
    after: Any
    recreation: Literal["Never", "Conditionally", "Always"]


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that would be added, modified or removed."""

    action: Literal["Add", "Import", "Modify", "Remove"]
    logical_id: str
    type: str
    physical_id: str | None = None
    replacement: Replacement | None = None
    scope: tuple[str, ...] = ()
    properties: tuple[PropertyChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Invalid:
    """A property that the early validation of a change set refuses."""

    logical_id: str
    type: str
    path: str
    message: str


def check_types(template: Template, handlers: Mapping[str, Handler]) -> None:
    """Refuse a template with resource types that are not implemented.

    Raises:
        TemplateError: in CloudFormation's words for types that it does not know.
    """
    unknown = sorted({resource.type for resource in template.resources.values()} - set(handlers))
    if unknown:
        raise TemplateError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")


def check_references(template: Template) -> None:
    """Refuse a template that refers to what it does not have.

    Raises:
        TemplateError: naming everything that is missing.
    """
    known = {*template.resources, *template.parameters}
    properties = (dict(resource.properties) for resource in template.resources.values())
    used = {name for value in (*properties, *map(dict, template.outputs.values())) for name in references(value)}
    unknown = sorted(name for name in used - known if not name.startswith("AWS::"))
    if unknown:
        raise TemplateError(
            f"Template format error: Unresolved resource dependencies [{', '.join(unknown)}] in the Resources block of "
            "the template"
        )


def check_capabilities(template: Template, handlers: Mapping[str, Handler], given: tuple[str, ...]) -> None:
    """Refuse IAM resources that the caller has not acknowledged.

    Raises:
        CloudFormationError: InsufficientCapabilitiesException.
    """
    iam = [resource for resource in template.resources.values() if handlers[resource.type].capability]
    named = [r for r in iam if handlers[r.type].schema.name in r.properties]
    needed = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
    accepted = {"CAPABILITY_NAMED_IAM"} if named else {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}
    if iam and not accepted & set(given):
        raise CloudFormationError(f"Requires capabilities : [{needed}]", code="InsufficientCapabilitiesException")


def invalid_properties(template: Template, handlers: Mapping[str, Handler]) -> tuple[Invalid, ...]:
    """Return every property that is unknown to its type, or required and missing."""
    return tuple(
        Invalid(resource.logical_id, resource.type, f"/Resources/{resource.logical_id}/Properties", problem)
        for resource in template.resources.values()
        for problem in handlers[resource.type].schema.problems(resource.properties)
    )


def desired_properties(
    definition: ResourceDefinition, handler: Handler, resolver: Resolver, stack_tags: Mapping[str, str]
) -> dict[str, Any]:
    """Resolve a resource's properties, with the stack's tags among them."""
    return handler.schema.with_stack_tags(resolver.value(dict(definition.properties)), stack_tags)


def plan(
    template: Template,
    existing: Mapping[str, Resource],
    handlers: Mapping[str, Handler],
    stack_tags: Mapping[str, str],
    make_resolver: Callable[[frozenset[str]], Resolver],
    find: Find = lambda definition, name: None,
) -> tuple[Change, ...]:
    """Compare a template with what a stack has.

    Args:
        template: the new template.
        existing: the stack's resources by logical id.
        handlers: the implemented resource types.
        stack_tags: the stack's new tags.
        make_resolver: gives a resolver to which the resources named are as if they did not exist yet: those that would
            be replaced, whose identifiers are known only afterwards.
        find: gives the identifier of a resource that exists outside of stacks under a custom name, which is imported.

    Returns:
        Changes in the order of creation; removals last, in the order of deletion.
    """
    live = make_resolver(frozenset()).live_resources()
    order = [name for name in creation_order(template.resources) if name in live]
    changes: list[Change] = []
    replaced: set[str] = set()
    for name in order:
        definition = template.resources[name]
        resolver = make_resolver(frozenset(replaced))
        if name not in existing:
            # What cannot be resolved, an import of nothing for one, is found here and not in the middle of the work.
            wanted = desired_properties(definition, handlers[definition.type], resolver, stack_tags)
            changes.append(_addition(definition, handlers[definition.type], wanted, find))
            replaced.add(name)
            continue
        change = _modification(definition, existing[name], handlers, resolver, stack_tags)
        if change is not None:
            changes.append(change)
            if change.replacement != "False":
                replaced.add(name)
    _check_imports(changes, template, handlers)
    gone = [name for name in existing if name not in live]
    changes += [Change("Remove", name, existing[name].type, existing[name].physical_id) for name in reversed(gone)]
    return tuple(changes)


def _addition(definition: ResourceDefinition, handler: Handler, wanted: Mapping[str, Any], find: Find) -> Change:
    name = wanted.get(handler.schema.name) if handler.schema.name else None
    found = find(definition, name) if isinstance(name, str) and KNOWN_AFTER_APPLY not in name else None
    return Change("Import" if found else "Add", definition.logical_id, definition.type, found)


def _check_imports(changes: Iterable[Change], template: Template, handlers: Mapping[str, Handler]) -> None:
    """Refuse to import what the template would delete.

    Source of the text: aws/aws-cdk-cli pull request 1367, which quotes it.

    Raises:
        TemplateError: naming all of it.
    """
    affected = [
        f"{change.logical_id} ({{{handlers[change.type].schema.name}={change.physical_id}}})"
        for change in changes
        if change.action == "Import" and not template.resources[change.logical_id].deletion_policy.startswith("Retain")
    ]
    if affected:
        raise TemplateError(
            "CloudFormation is attempting to import some resources because they already exist in your account. The "
            "resources must have the DeletionPolicy attribute set to 'Retain' or 'RetainExceptOnCreate' in the "
            f"template for successful import. The affected resources are {', '.join(affected)}"
        )


def _modification(
    definition: ResourceDefinition,
    current: Resource,
    handlers: Mapping[str, Handler],
    resolver: Resolver,
    stack_tags: Mapping[str, str],
) -> Change | None:
    if current.type != definition.type:
        raise TemplateError(
            f"Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{definition.logical_id}]"
        )
    handler = handlers[definition.type]
    wanted = desired_properties(definition, handler, resolver, stack_tags)
    properties = property_changes(handler, current.properties, wanted)
    scope = []
    if any(change.name != "Tags" for change in properties):
        scope.append("Properties")
    if any(change.name == "Tags" for change in properties):
        scope.append("Tags")
    if dict(current.metadata) != dict(definition.metadata):
        scope.append("Metadata")
    if current.deletion_policy != definition.deletion_policy:
        scope.append("DeletionPolicy")
    if current.replace_policy != definition.replace_policy:
        scope.append("UpdateReplacePolicy")
    if not scope:
        return None
    recreations = {change.recreation for change in properties}
    replacement: Replacement = (
        "True" if "Always" in recreations else "Conditional" if "Conditionally" in recreations else "False"
    )
    return Change(
        "Modify", definition.logical_id, definition.type, current.physical_id, replacement, tuple(scope), properties
    )


def property_changes(handler: Handler, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[PropertyChange, ...]:
    """Compare resolved properties one by one."""
    changes = []
    for name in sorted(set(old) | set(new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        unknown = KNOWN_AFTER_APPLY in json.dumps(after, default=str)
        recreation: Literal["Never", "Conditionally", "Always"] = "Never"
        if name in handler.schema.create_only:
            recreation = "Conditionally" if unknown else "Always"
        changes.append(PropertyChange(name, before, after, recreation))
    return tuple(changes)

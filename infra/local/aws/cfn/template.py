"""A CloudFormation template: text in, checked structure out. Nothing is resolved here.

Source: "Template anatomy" and "Resource attributes" in the AWS CloudFormation User Guide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from infra.local.aws.cfn.errors import TemplateError

_SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Mappings",
    "Conditions",
    "Rules",
    "Resources",
    "Outputs",
}
_RESOURCE_ATTRIBUTES = {
    "Type",
    "Properties",
    "DependsOn",
    "Condition",
    "DeletionPolicy",
    "UpdateReplacePolicy",
    "Metadata",
}
_POLICIES = {"Delete", "Retain", "Snapshot", "RetainExceptOnCreate"}


@dataclass(frozen=True, slots=True)
class ResourceDefinition:
    """One entry of a template's ``Resources``, unresolved."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    depends_on: tuple[str, ...]
    condition: str | None
    deletion_policy: str
    replace_policy: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template; ``body`` is the text as it was sent."""

    body: str
    description: str | None
    parameters: Mapping[str, Mapping[str, Any]]
    mappings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    conditions: Mapping[str, Any]
    rules: Mapping[str, Mapping[str, Any]]
    resources: Mapping[str, ResourceDefinition]
    outputs: Mapping[str, Mapping[str, Any]]


def parse(body: str) -> Template:
    """Parse and check a template.

    Args:
        body: JSON or YAML text; YAML may use the short forms of the functions (``!Ref``).

    Raises:
        TemplateError: the text is no template, or uses a section or attribute that is not implemented.
    """
    document = _load(body)
    unknown = sorted(set(document) - _SECTIONS)
    if unknown:
        raise TemplateError(f"Invalid template property or properties [{', '.join(unknown)}]")
    if not document.get("Resources"):
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    resources = {name: _resource(name, value) for name, value in document["Resources"].items()}
    conditions = document.get("Conditions", {})
    for resource in resources.values():
        missing = [name for name in resource.depends_on if name not in resources]
        if missing:
            raise TemplateError(
                f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] "
                "in the Resources block of the template"
            )
        if resource.condition and resource.condition not in conditions:
            raise TemplateError(f"Template format error: Condition {resource.condition} is not defined.")
    return Template(
        body=body,
        description=document.get("Description"),
        parameters=document.get("Parameters", {}),
        mappings=document.get("Mappings", {}),
        conditions=conditions,
        rules=document.get("Rules", {}),
        resources=resources,
        outputs=document.get("Outputs", {}),
    )


def _load(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        try:
            document = yaml.load(body, _Loader)  # noqa: S506 - a SafeLoader with CloudFormation's tags
        except yaml.YAMLError as error:
            raise TemplateError(f"Template format error: YAML not well-formed. ({error})") from error
    if not isinstance(document, dict):
        raise TemplateError("Template format error: unsupported structure.")
    return document


def _resource(name: str, value: Any) -> ResourceDefinition:
    if not name.isalnum():
        raise TemplateError(f"Template format error: Resource name {name} is non alphanumeric.")
    if not isinstance(value, dict) or "Type" not in value:
        raise TemplateError(f"Template format error: [/Resources/{name}] Every Resources object must contain a Type.")
    unknown = sorted(set(value) - _RESOURCE_ATTRIBUTES)
    if unknown:
        raise TemplateError(f"Invalid template resource property '{unknown[0]}'")
    depends_on = value.get("DependsOn", ())
    deletion = value.get("DeletionPolicy", "Delete")
    replace = value.get("UpdateReplacePolicy", "Delete")
    for policy in (deletion, replace):
        if policy not in _POLICIES:
            raise TemplateError(f"Template error: Unrecognized DeletionPolicy {policy} for resource {name}")
    return ResourceDefinition(
        logical_id=name,
        type=value["Type"],
        properties=value.get("Properties", {}),
        depends_on=(depends_on,) if isinstance(depends_on, str) else tuple(depends_on),
        condition=value.get("Condition"),
        deletion_policy=deletion,
        replace_policy=replace,
        metadata=value.get("Metadata", {}),
    )


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types here
    """YAML without dates (a template's version is a string), with the short forms of the functions."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)

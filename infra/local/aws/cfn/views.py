"""What the API says about stacks and change sets; the shapes are those of the AWS CloudFormation API Reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra.local.aws.cfn.change_sets import ChangeSet
from infra.local.aws.cfn.parameters import Parameter
from infra.local.aws.cfn.plan import Change
from infra.local.aws.cfn.stack import Event, Output, Resource, Stack
from infra.local.aws.cfn.template import Template

View = dict[str, Any]
_NOT_CHECKED = {"StackDriftStatus": "NOT_CHECKED"}


def stack(of: Stack) -> View:
    """Return an entry of DescribeStacks."""
    return {
        "StackId": of.id,
        "StackName": of.name,
        "Description": of.template.description if of.template else None,
        "Parameters": parameters(of.parameters),
        "CreationTime": of.created,
        "DeletionTime": of.deleted,
        "LastUpdatedTime": of.updated,
        "RollbackConfiguration": {},
        "StackStatus": of.status,
        "StackStatusReason": of.reason,
        "DisableRollback": of.disable_rollback,
        "NotificationARNs": [],
        "Capabilities": list(of.capabilities),
        "Outputs": [output(item) for item in of.outputs],
        "Tags": tags(of.tags),
        "EnableTerminationProtection": of.protected,
        "DriftInformation": _NOT_CHECKED,
    }


def summary(of: Stack) -> View:
    """Return an entry of ListStacks."""
    whole = stack(of)
    names = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime", "StackStatus")
    reason = {"TemplateDescription": whole["Description"], "StackStatusReason": whole["StackStatusReason"]}
    return {**{name: whole[name] for name in names}, **reason, "DriftInformation": _NOT_CHECKED}


def parameters(of: Mapping[str, Parameter]) -> list[View]:
    """Return parameters; those declared NoEcho are masked."""
    return [
        {
            "ParameterKey": name,
            "ParameterValue": "****" if parameter.hidden else parameter.raw,
            "ResolvedValue": _joined(parameter.value) if parameter.from_parameter_store else None,
        }
        for name, parameter in of.items()
    ]


def _joined(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ",".join(value)


def output(of: Output) -> View:
    """Return an output of DescribeStacks."""
    return {
        "OutputKey": of.key,
        "OutputValue": of.value,
        "Description": of.description,
        "ExportName": of.export,
    }


def tags(of: Mapping[str, str]) -> list[View]:
    """Return tags as a list."""
    return [{"Key": key, "Value": value} for key, value in of.items()]


def event(of: Event, owner: Stack) -> View:
    """Return an entry of DescribeStackEvents."""
    return {
        "StackId": owner.id,
        "EventId": of.id,
        "StackName": owner.name,
        "LogicalResourceId": of.logical_id,
        "PhysicalResourceId": of.physical_id,
        "ResourceType": of.type,
        "Timestamp": of.at,
        "ResourceStatus": of.status,
        "ResourceStatusReason": of.reason,
    }


def resource(of: Resource, owner: Stack) -> View:
    """Return an entry of DescribeStackResources and of ListStackResources; each takes the members that it has."""
    return {
        "StackName": owner.name,
        "StackId": owner.id,
        "LogicalResourceId": of.logical_id,
        "PhysicalResourceId": of.physical_id,
        "ResourceType": of.type,
        "Timestamp": of.changed,
        "LastUpdatedTimestamp": of.changed,
        "ResourceStatus": of.status,
        "ResourceStatusReason": of.reason,
        "Metadata": json.dumps(dict(of.metadata)),
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def change_set(of: ChangeSet, *, with_values: bool) -> View:
    """Return the answer of DescribeChangeSet.

    Args:
        of: the change set.
        with_values: whether the properties' values before and after are asked for (IncludePropertyValues).
    """
    return {
        "ChangeSetName": of.name,
        "ChangeSetId": of.id,
        "StackId": of.stack.id,
        "StackName": of.stack.name,
        "Description": of.description,
        "Parameters": parameters(of.request.parameters),
        "CreationTime": of.created,
        "ExecutionStatus": of.execution,
        "Status": of.status,
        "StatusReason": of.reason,
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Capabilities": list(of.capabilities),
        "Tags": tags(of.request.tags),
        "Changes": [_change(item, with_values) for item in of.changes],
        "IncludeNestedStacks": False,
        "OnStackFailure": of.on_failure,
    }


def _change(of: Change, with_values: bool) -> View:
    details = [
        {
            "Target": {
                "Attribute": "Tags" if change.name == "Tags" else "Properties",
                "Name": None if change.name == "Tags" else change.name,
                "RequiresRecreation": change.recreation,
                "Path": f"/Properties/{change.name}",
                **({"BeforeValue": _text(change.before), "AfterValue": _text(change.after)} if with_values else {}),
            },
            "Evaluation": "Dynamic" if change.recreation == "Conditionally" else "Static",
            "ChangeSource": "DirectModification",
        }
        for change in of.properties
    ]
    return {
        "Type": "Resource",
        "ResourceChange": {
            "Action": of.action,
            "LogicalResourceId": of.logical_id,
            "PhysicalResourceId": of.physical_id,
            "ResourceType": of.type,
            "Replacement": of.replacement,
            "Scope": list(of.scope),
            "Details": details,
        },
    }


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def validation_events(of: ChangeSet) -> list[View]:
    """Return the failures of a change set's early validation, as DescribeEvents tells them."""
    return [
        {
            "EventId": f"{of.id}/{number}",
            "StackId": of.stack.id,
            "OperationType": "CREATE_CHANGESET",
            "OperationStatus": "FAILED",
            "EventType": "VALIDATION_ERROR",
            "LogicalResourceId": invalid.logical_id,
            "PhysicalResourceId": "",
            "ResourceType": invalid.type,
            "Timestamp": of.created,
            "ValidationFailureMode": "FAIL",
            "ValidationName": "PROPERTY_VALIDATION",
            "ValidationStatus": "FAILED",
            "ValidationStatusReason": invalid.message,
            "ValidationPath": invalid.path,
        }
        for number, invalid in enumerate(of.invalid)
    ]


def template_summary(of: Template) -> View:
    """Return the answer of GetTemplateSummary and of ValidateTemplate; each takes the members that it has."""
    declared = [
        {
            "ParameterKey": name,
            "DefaultValue": declaration.get("Default"),
            "ParameterType": declaration.get("Type", "String"),
            "NoEcho": str(declaration.get("NoEcho", "false")).lower() == "true",
            "Description": declaration.get("Description"),
        }
        for name, declaration in of.parameters.items()
    ]
    return {
        "Parameters": declared,
        "Description": of.description,
        "ResourceTypes": sorted({item.type for item in of.resources.values()}),
        "Version": "2010-09-09",
    }

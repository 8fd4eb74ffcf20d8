"""Tags of EC2 resources: the template's through the API, CloudFormation's own past it, as on AWS."""

from __future__ import annotations

from typing import Any

from infra.local.aws.resources.base import Call, Properties


def tag(call: Call, physical_id: str, properties: Properties, old: Properties | None = None) -> None:
    """Give an EC2 resource its tags; on an update, take away those that are not named any more."""
    ec2 = call.service("ec2")
    wanted = _tags(properties)
    gone = [{"Key": key} for key in _tags(old or {}) if key not in wanted]
    if gone:
        ec2.delete_tags(Resources=[physical_id], Tags=gone)
    if wanted:
        ec2.create_tags(Resources=[physical_id], Tags=[{"Key": key, "Value": value} for key, value in wanted.items()])
    _tag_as_cloudformation(call, physical_id)


def _tags(properties: Properties) -> dict[str, str]:
    return {item["Key"]: item["Value"] for item in properties.get("Tags", [])}


def _tag_as_cloudformation(call: Call, physical_id: str) -> None:
    """Add the tags ``aws:…``, which nobody can set through the API."""
    from moto.ec2.models import ec2_backends

    backend: Any = ec2_backends[call.account][call.region]
    backend.create_tags([physical_id], call.own_tags)


def untag(call: Call, physical_id: str) -> None:
    """Take the tags of a resource that is deleted away: moto would keep them, and tell of it for ever."""
    from moto.ec2.models import ec2_backends

    backend: Any = ec2_backends[call.account][call.region]
    backend.tags.pop(physical_id, None)

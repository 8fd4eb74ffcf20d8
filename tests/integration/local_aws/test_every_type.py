"""Every resource type of the templates is made, changed in place and deleted; a type that is not is named."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("CDK_VALIDATION", "false")
sys.path.insert(0, str(Path(__file__).parents[2] / "policies"))

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from template_life import Event, Life, Synthesised, Template, synthesised
from variants import VARIANTS, apart

#: The federation that has every choice in it; whatever type another has must be in its templates too.
FULL = "mixed"


def _of(template: Template, kind: str) -> list[dict[str, Any]]:
    return [resource for resource in template["Resources"].values() if resource["Type"] == kind]


def _describe(properties: dict[str, Any]) -> None:
    properties["Description"] = "changed"


def _another_body(template: Template, properties: dict[str, Any]) -> None:
    properties["DashboardBody"] = '{"widgets": []}'


def _rename_statement(key: str) -> Callable[[Template, dict[str, Any]], None]:
    def change(template: Template, properties: dict[str, Any]) -> None:
        properties[key]["Statement"][0]["Sid"] = "Changed"

    return change


def _second(template: Template, logical_id: str, **changed: Any) -> dict[str, str]:
    """Add a copy of a resource to its template, and return a reference to it."""
    other = copy.deepcopy(template["Resources"][logical_id])
    other["Properties"] |= changed
    template["Resources"][f"Second{logical_id}"] = other
    return {"Ref": f"Second{logical_id}"}


def _another_role(template: Template, properties: dict[str, Any]) -> None:
    role = properties["Roles"][0]["Ref"]
    name = template["Resources"][role]["Properties"].get("RoleName")
    properties["Roles"] = [_second(template, role, **({"RoleName": f"{name}-2"} if name else {}))]


def _another_key(template: Template, properties: dict[str, Any]) -> None:
    properties["TargetKeyId"] = _second(template, "Key")


def _another_gateway(template: Template, properties: dict[str, Any]) -> None:
    properties["InternetGatewayId"] = _second(template, properties["InternetGatewayId"]["Ref"])


def _by_the_gateway(template: Template, properties: dict[str, Any]) -> None:
    if properties.pop("NatGatewayId", None):
        properties["GatewayId"] = {"Ref": "InternetGateway"}


def _another_version(template: Template, properties: dict[str, Any]) -> None:
    # The instance stays on the first version: another one would replace it.
    for instance in _of(template, "AWS::EC2::Instance"):
        instance["Properties"]["LaunchTemplate"]["Version"] = "1"
    properties["LaunchTemplateData"]["EbsOptimized"] = True


#: How a type is changed in place that has no tags, or whose tags cannot be changed.
CHANGES: dict[str, Callable[[Template, dict[str, Any]], None]] = {
    "AWS::CloudWatch::Dashboard": _another_body,
    "AWS::EC2::LaunchTemplate": _another_version,
    "AWS::EC2::Route": _by_the_gateway,
    "AWS::EC2::SecurityGroupEgress": lambda _, properties: _describe(properties),
    "AWS::EC2::SecurityGroupIngress": lambda _, properties: _describe(properties),
    "AWS::EC2::VPCGatewayAttachment": _another_gateway,
    "AWS::IAM::InstanceProfile": _another_role,
    "AWS::KMS::Alias": _another_key,
    "AWS::SNS::TopicPolicy": _rename_statement("PolicyDocument"),
    "AWS::S3::BucketPolicy": _rename_statement("PolicyDocument"),
}


def _can_change(kind: str, templates: dict[str, Template]) -> bool:
    """Say whether CloudFormation, by its registry, can change in place anything that our templates say of a type."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    said = {name for template in templates.values() for one in _of(template, kind) for name in one["Properties"]}
    fixed = {path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", [])}
    return "update" in schema["handlers"] and bool(said - fixed)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return synthesised(apart(VARIANTS[FULL](), "8"), tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def happened(full: Synthesised, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Event]]:
    """Create, then change tags and what has none, then delete: what happened in each."""
    data = apart(VARIANTS[FULL](), "8")
    data["tags"] = {"cost-centre": "4712"}
    changed = synthesised(data, tmp_path_factory.mktemp("changed"))
    for template in changed.templates.values():
        for kind, change in CHANGES.items():
            for resource in _of(template, kind):
                change(template, resource["Properties"])
    life = Life(full.plan)
    return {
        "created": life.create(full.templates),
        "updated": life.update(changed.templates),
        "deleted": life.delete(),
    }


def _finished(events: list[Event], status: str) -> set[str]:
    return {event.type for event in events if event.status == status}


@pytest.fixture(scope="module")
def types(full: Synthesised) -> set[str]:
    return {resource["Type"] for template in full.templates.values() for resource in template["Resources"].values()}


def test_the_federation_that_lives_here_has_every_type_of_every_other(types: set[str], tmp_path: Path) -> None:
    for name in set(VARIANTS) - {FULL}:
        other = synthesised(VARIANTS[name](), tmp_path / name)
        found = {r["Type"] for template in other.templates.values() for r in template["Resources"].values()}
        assert found - types == set(), name


def test_every_type_is_created(types: set[str], happened: dict[str, list[Event]]) -> None:
    assert types - _finished(happened["created"], "CREATE_COMPLETE") == set()


def _changed_in_place(happened: dict[str, list[Event]]) -> set[str]:
    before = {(e.stack, e.logical_id): e.physical_id for e in happened["created"] if e.status == "CREATE_COMPLETE"}
    return {
        event.type
        for event in happened["updated"]
        if event.status == "UPDATE_COMPLETE" and before.get((event.stack, event.logical_id)) == event.physical_id
    }


def test_every_type_that_cloudformation_can_change_in_place_is_changed_in_place(
    types: set[str], happened: dict[str, list[Event]], full: Synthesised
) -> None:
    never = {kind for kind in types if not _can_change(kind, full.templates)}
    assert types - _changed_in_place(happened) == never
    assert len(never) < 5


def test_a_resource_that_was_replaced_does_not_count_as_changed_in_place() -> None:
    def event(status: str, physical_id: str) -> Event:
        return Event("stack", "Vpc", "AWS::EC2::VPC", status, physical_id)

    for after, types in (("vpc-1", {"AWS::EC2::VPC"}), ("vpc-2", set())):
        happened = {"created": [event("CREATE_COMPLETE", "vpc-1")], "updated": [event("UPDATE_COMPLETE", after)]}
        assert _changed_in_place(happened) == types


def test_every_type_is_deleted(types: set[str], happened: dict[str, list[Event]]) -> None:
    assert types - _finished(happened["deleted"], "DELETE_COMPLETE") == set()

"""What an organisation asks of every stack: a boundary on every role, its tags on everything, its bootstrap stacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from template_life import Synthesised, synthesised
from variants import VARIANTS, Data

from infra.errors import InvalidFederation
from infra.federation.load import load

BOUNDARY = "arn:aws:iam::111111111111:policy/hospital-boundary"


@pytest.fixture
def bounded(data: Data, tmp_path: Path) -> Synthesised:
    data["participants"][0]["permissions_boundary"] = "hospital-boundary"
    data["participants"][1]["permissions_boundary"] = "arn:aws:iam::222222222222:policy/teams/ours"
    return synthesised(data, tmp_path)


def _roles(made: Synthesised, account: str) -> list[Any]:
    return [
        resource["Properties"].get("PermissionsBoundary")
        for stack in made.plan.stacks
        if stack.account == account
        for resource in made.templates[stack.id]["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
    ]


def test_every_role_of_an_account_has_its_boundary_and_no_other_accounts(bounded: Synthesised) -> None:
    assert set(_roles(bounded, "111111111111")) == {BOUNDARY}
    assert set(_roles(bounded, "222222222222")) == {"arn:aws:iam::222222222222:policy/teams/ours"}
    assert set(_roles(bounded, "333333333333")) == {None}


def test_the_hubs_boundary_is_on_the_roles_that_accept_peerings_too(data: Data, tmp_path: Path) -> None:
    data["aggregator"]["permissions_boundary"] = "ours"
    roles = _roles(synthesised(data, tmp_path), "333333333333")
    assert set(roles) == {"arn:aws:iam::333333333333:policy/ours"}
    assert len(roles) >= 3


def _problems(data: Data, folder: Path) -> dict[str, str]:
    file = folder / "federation.yaml"
    file.write_text(json.dumps(data), "utf-8")
    with pytest.raises(InvalidFederation) as error:
        load(file)
    return {problem.where.split()[-1]: f"{problem.found} {problem.remedy}" for problem in error.value.problems}


@pytest.mark.parametrize(
    ("boundary", "said"),
    [
        ("arn:aws:iam::999999999999:policy/theirs", "the policy is of account 999999999999"),
        ("arn:aws:iam::111111111111:role/not-a-policy", "is not a managed policy"),
        ("has spaces", "is not a managed policy"),
    ],
)
def test_a_boundary_that_cannot_be_is_refused(data: Data, tmp_path: Path, boundary: str, said: str) -> None:
    data["participants"][0]["permissions_boundary"] = boundary
    assert said in _problems(data, tmp_path)["participants[0].permissions_boundary"]


def test_a_qualifier_without_bootstrap_stacks_is_refused(data: Data, tmp_path: Path) -> None:
    data["bootstrap_qualifier"] = "hospital1"
    assert "synthesizer: default" in _problems(data, tmp_path)["bootstrap_qualifier"]


def test_templates_go_by_the_organisations_bootstrap_stacks(data: Data, tmp_path: Path) -> None:
    data |= {"synthesizer": "default", "bootstrap_qualifier": "hospital1"}
    synthesised(data, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text("utf-8"))["artifacts"]
    stacks = [a["properties"] for a in manifest.values() if a["type"] == "aws:cloudformation:stack"]
    assert len(stacks) == 11
    for stack in stacks:
        assert "role/cdk-hospital1-deploy-role-" in stack["assumeRoleArn"]
        assert "role/cdk-hospital1-cfn-exec-role-" in stack["cloudFormationExecutionRoleArn"]
        assert stack["stackTemplateAssetObjectUrl"].startswith("s3://cdk-hospital1-assets-")


def _is_taggable(kind: str) -> bool:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    tagging = schema.get("tagging", {"taggable": schema.get("taggable", True)})
    return bool(tagging["taggable"]) and "Tags" in schema["properties"]


def test_the_organisations_tags_are_on_everything_that_cloudformations_registry_calls_taggable(scanned: Any) -> None:
    mixed = {name: template for name, template in scanned.templates.items() if name.startswith("mixed/")}
    assert VARIANTS["mixed"]()["tags"] == {"cost-centre": "4711"}
    tagged = set()
    for name, template in mixed.items():
        for logical_id, resource in template["Resources"].items():
            if _is_taggable(resource["Type"]):
                tags = resource["Properties"].get("Tags", [])
                found = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
                assert found.get("cost-centre") == "4711", f"{name} {logical_id}"
                tagged.add(resource["Type"])
    assert len(tagged) > 10


def test_a_launch_template_has_the_tags_that_never_change(scanned: Any) -> None:
    template = scanned.templates["mixed/SiteNode-hospital-a"]["Resources"]["Spot"]["Properties"]
    (given,) = template["TagSpecifications"]
    assert given["ResourceType"] == "launch-template"
    assert {tag["Key"] for tag in given["Tags"]} == {"Name", "federate:federation", "federate:node"}

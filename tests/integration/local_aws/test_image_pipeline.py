"""The image's pipeline on loopback AWS, where it is recorded: made, changed in place or anew, and gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.federation.model import Federation
from infra.local.aws.resources import handlers
from stacks.nodejs import use_pinned_node

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"
KINDS = ("Component", "ImageRecipe", "InfrastructureConfiguration", "DistributionConfiguration", "ImagePipeline")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example's, with a pipeline for one kind of image."""
    use_pinned_node()
    from stacks.app import synthesize

    told = yaml.safe_load(EXAMPLE.read_text("utf-8")) | {"image_pipeline": True}
    folder = synthesize(Federation.model_validate(told), outdir=tmp_path_factory.mktemp("cdk.out"))
    return json.loads((folder / "NodeImage.template.json").read_text("utf-8"))


def recorded(account: Any, name: str) -> dict[str, str]:
    """Return the physical ids of the pipeline's resources by logical id."""
    found = account.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found if "ImageBuilder" in one["ResourceType"]
    }


def changed(template: Any, kind: str, **properties: Any) -> Any:
    """Return the template with properties of every resource of a kind changed."""
    made = json.loads(json.dumps(template))
    for resource in made["Resources"].values():
        if resource["Type"] == f"AWS::ImageBuilder::{kind}":
            resource["Properties"].update(properties)
    return made


def test_every_resource_of_the_pipeline_is_made_and_deleted_and_its_names_are_free_again(
    account: Any, template: Any
) -> None:
    for _ in range(2):
        assert account.create("image", template) == "CREATE_COMPLETE"
        arns = recorded(account, "image")
        assert len(arns) == 7  # three components, and one of each other kind
        assert all(f":{account.id}:" in arn for arn in arns.values())
        assert account.delete("image") == "DELETE_COMPLETE"
        assert account.vpcs() == []


def test_configurations_change_in_place_and_a_component_of_another_version_is_another_one(
    account: Any, template: Any
) -> None:
    account.create("image", template)
    before = recorded(account, "image")
    for kind, properties in {
        "InfrastructureConfiguration": {"InstanceTypes": ["g5.xlarge"]},
        "DistributionConfiguration": {"Description": "another"},
        "ImagePipeline": {"Status": "DISABLED"},
    }.items():
        template = changed(template, kind, **properties)
        assert account.update("image", template) == "UPDATE_COMPLETE"
    assert recorded(account, "image") == before
    assert account.update("image", changed(template, "ImageRecipe", Version="1.0.9")) == "UPDATE_COMPLETE"
    after = recorded(account, "image")
    assert {name for name in before if before[name] != after[name]} == {"RecipeX8664Gpu"}
    assert account.delete("image") == "DELETE_COMPLETE"


def test_a_recipe_that_changes_and_keeps_its_version_is_refused_as_on_aws(account: Any, template: Any) -> None:
    account.create("image", template)
    assert account.update("image", changed(template, "ImageRecipe", Description="another")) == (
        "UPDATE_ROLLBACK_COMPLETE"
    )
    assert "already exists" in account.reason("image", "RecipeX8664Gpu", "UPDATE_FAILED")
    account.delete("image")


@pytest.mark.parametrize("kind", KINDS)
def test_a_property_that_is_not_implemented_is_refused_by_name(kind: str) -> None:
    schema = handlers()[f"AWS::ImageBuilder::{kind}"].schema
    assert any("[Wrong]" in problem for problem in schema.problems({*schema.required, "Wrong"}))
    assert schema.problems(schema.required) == []

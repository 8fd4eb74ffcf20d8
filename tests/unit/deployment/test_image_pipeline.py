"""The stack that makes images is apart: no deployment or teardown touches it, and the audit knows it for what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_cloud import FakeCdk, FakeCloud, FakeStack, federation, small_plan, stack

from infra.deployment import place
from infra.deployment.audit import fully_chosen
from infra.deployment.audit.mark import Found, Mark
from infra.deployment.groups import chosen
from infra.deployment.instances import NoPipeline
from infra.deployment.teardown import refuse_wrong_order
from stacks.plan import NODE_IMAGE, DeploymentPlan

PIPELINE = stack(NODE_IMAGE, "image", "aggregator")


@pytest.fixture
def with_pipeline(plan: DeploymentPlan) -> DeploymentPlan:
    return replace(plan, stacks=(*plan.stacks, PIPELINE))


def at(plan: DeploymentPlan, cloud: FakeCloud, cdk: FakeCdk, folder: Path, patch: pytest.MonkeyPatch) -> place.Place:
    patch.setattr(place.Place, "prepare", lambda _: SimpleNamespace(plan=plan, folder=folder))
    patch.setattr(place.Place, "_cdk", lambda *_: cdk)
    return place.Place(folder / "federation.yaml", federation(), folder, cloud)  # type: ignore[arg-type]


@pytest.mark.parametrize("only", [(), ("aggregator",)])
def test_whatever_is_asked_for_it_is_never_among_the_federations_stacks(
    with_pipeline: DeploymentPlan, only: tuple[str, ...]
) -> None:
    assert PIPELINE not in chosen(with_pipeline, only)


def test_it_is_deployed_and_deleted_by_itself(
    with_pipeline: DeploymentPlan, cloud: FakeCloud, cdk: FakeCdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = at(with_pipeline, cloud, cdk, tmp_path, monkeypatch)
    assert here.deploy_pipeline() == PIPELINE
    assert set(cloud.stacks) == {"fed-NodeImage"}
    here.destroy_pipeline()
    assert cloud.stacks == {}
    assert cloud.log == ["deploy NodeImage", "destroy NodeImage"]


def test_without_one_in_the_file_there_is_nothing_to_deploy(
    plan: DeploymentPlan, cloud: FakeCloud, cdk: FakeCdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoPipeline, match="image_pipeline: true"):
        at(plan, cloud, cdk, tmp_path, monkeypatch).deploy_pipeline()


def test_it_does_not_keep_the_hub_from_being_deleted(with_pipeline: DeploymentPlan, cloud: FakeCloud) -> None:
    cloud.stacks["fed-NodeImage"] = FakeStack("CREATE_COMPLETE")
    refuse_wrong_order(with_pipeline, chosen(with_pipeline, ()), cloud)  # type: ignore[arg-type]


def test_an_account_that_has_nothing_else_is_audited(with_pipeline: DeploymentPlan) -> None:
    everything = chosen(with_pipeline, ())
    assert fully_chosen(with_pipeline, everything) == everything


@pytest.mark.parametrize(
    "found",
    [
        Found("stack", "fed-NodeImage"),
        Found("VPC", "vpc-1", {"aws:cloudformation:stack-name": "fed-NodeImage"}),
        Found("instance profile", "fed-NodeImage-BuildProfile-ABC"),
    ],
)
def test_what_makes_images_is_what_is_to_stay_while_the_file_asks_for_it_and_left_over_when_it_does_not(
    with_pipeline: DeploymentPlan, found: Found
) -> None:
    assert Mark.of(with_pipeline).is_retained(found)
    assert not Mark.of(small_plan()).is_retained(found)
    assert Mark.of(small_plan()).is_stack("fed-NodeImage")


def test_the_hubs_own_things_are_not_taken_for_the_pipelines(with_pipeline: DeploymentPlan) -> None:
    mark = Mark.of(with_pipeline)
    assert not mark.is_retained(Found("VPC", "vpc-2", {"aws:cloudformation:stack-name": "fed-HubNetwork"}))
    assert not mark.is_retained(Found("stack", "fed-HubNetwork"))
    assert not mark.is_stack("fed-NodeImages")

"""The plan says truly what the templates want and give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stacks.plan import DeploymentPlan, FromOutput, ManagedPrefixList, UnreadablePlan


def test_the_plan_survives_being_written_and_read(example: Any, tmp_path: Path) -> None:
    example.plan.write(tmp_path / "plan.json")
    assert DeploymentPlan.read(tmp_path / "plan.json") == example.plan
    example.plan.write(tmp_path / "again.json")
    assert (tmp_path / "plan.json").read_bytes() == (tmp_path / "again.json").read_bytes()


def test_the_plan_names_every_template_once(example: Any) -> None:
    ids = [stack.id for stack in example.plan.stacks]
    assert sorted(ids) == sorted(example.templates)
    assert {stack.id: stack.name for stack in example.plan.stacks} == {id_: f"eicu-{id_}" for id_ in ids}


def test_hub_then_sites_then_links_and_within_an_account_what_others_wait_for_comes_first(example: Any) -> None:
    phases = [stack.phase for stack in example.plan.stacks]
    assert phases == sorted(phases, key=["hub", "sites", "links"].index)
    done: set[str] = set()
    for stack in example.plan.stacks:
        assert example.dependencies[stack.id] <= done
        assert {s.stack for s in stack.parameters.values() if isinstance(s, FromOutput)} <= done
        done.add(stack.id)


def test_every_parameter_has_a_source_and_every_source_is_an_output(example: Any) -> None:
    outputs = {stack.id: set(stack.outputs) for stack in example.plan.stacks}
    for stack in example.plan.stacks:
        # the image is nobody's to fill in: an update keeps it, and a new node gets the template's default
        assert set(stack.parameters) == set(example.templates[stack.id].get("Parameters", {})) - {"ImageId"}
        for source in stack.parameters.values():
            if isinstance(source, FromOutput):
                assert source.output in outputs[source.stack]
            else:
                assert source == ManagedPrefixList(service="s3")


def test_outputs_are_the_contract_between_accounts(example: Any) -> None:
    network = {"VpcId", "NodeSecurityGroupId", "NodeInterfaceId", "ConnectEndpointId"}
    expected = {
        "HubStorage": {"BucketName", "KeyArn", "StateVolumeId"},
        "HubNetwork": network,
        "HubNode": {"InstanceId"},
        "SiteStorage-hospital-a": {"BucketName", "KeyArn", "StateVolumeId"},
        "SiteNetwork-hospital-a": network | {"PeeringId"},
        "SiteNode-hospital-a": {"InstanceId"},
        "HubLink-hospital-a": set(),
    }
    for stack in example.plan.stacks:
        if stack.id in expected:
            assert set(stack.outputs) == expected[stack.id]
            assert set(stack.outputs) <= set(example.templates[stack.id].get("Outputs", {}))


def test_what_crosses_accounts_is_four_identifiers(example: Any) -> None:
    crossing = {
        (stack.id, name): source
        for stack in example.plan.stacks
        for name, source in stack.parameters.items()
        if isinstance(source, FromOutput)
    }
    assert crossing == {
        ("SiteNetwork-hospital-a", "HubVpcId"): FromOutput("HubNetwork", "VpcId"),
        ("SiteNetwork-hospital-b", "HubVpcId"): FromOutput("HubNetwork", "VpcId"),
        ("HubLink-hospital-a", "PeeringId"): FromOutput("SiteNetwork-hospital-a", "PeeringId"),
        ("HubLink-hospital-b", "PeeringId"): FromOutput("SiteNetwork-hospital-b", "PeeringId"),
        ("HubLink-hospital-a", "SiteSecurityGroupId"): FromOutput("SiteNetwork-hospital-a", "NodeSecurityGroupId"),
        ("HubLink-hospital-b", "SiteSecurityGroupId"): FromOutput("SiteNetwork-hospital-b", "NodeSecurityGroupId"),
    }


def test_each_stack_is_in_the_account_of_its_node(example: Any) -> None:
    accounts = {"aggregator": "333333333333", "hospital-a": "111111111111", "hospital-b": "222222222222"}
    for stack in example.plan.stacks:
        expected = "aggregator" if stack.id.startswith("Hub") else stack.id.split("-", 1)[1]
        assert (stack.node, stack.profile, stack.account) == (expected, expected, accounts[expected])


def test_reading_the_plan_does_not_load_cdk() -> None:
    code = "import sys, stacks.plan; sys.exit('aws_cdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"federation": "x", "digest": "y", "stacks": [{}]}'])
def test_what_is_not_a_plan_says_so_and_what_to_do(tmp_path: Path, content: str) -> None:
    path = tmp_path / "federate-plan.json"
    with pytest.raises(UnreadablePlan, match=r"there is no deployment plan(.|\n)*python app\.py"):
        DeploymentPlan.read(path)
    path.write_text(content, "utf-8")
    with pytest.raises(UnreadablePlan, match=r"not a deployment plan(.|\n)*python app\.py"):
        DeploymentPlan.read(path)

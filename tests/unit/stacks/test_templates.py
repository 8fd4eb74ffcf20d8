"""What holds for every template, whatever is in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stacks.nodejs import use_pinned_node

CHECKOUT = Path(__file__).parents[3]
#: CloudFormation's limit for a template that is sent along rather than put into a bucket.
LARGEST_TEMPLATE = 51_200
#: Types that have no Tags in CloudFormation.
UNTAGGABLE = {
    "AWS::EC2::Route",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VolumeAttachment",
    "AWS::IAM::InstanceProfile",
    "AWS::KMS::Alias",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
}


#: Parameters by name, and how the identifiers begin that they take.
PREFIXES = {
    "HubVpcId": "vpc",
    "ImageId": "ami",
    "PeeringId": "pcx",
    "S3PrefixListId": "pl",
    "SiteSecurityGroupId": "sg",
}


def _app(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=CHECKOUT,
        env={**os.environ, "CDK_OUTDIR": str(folder), "CDK_VALIDATION": "false", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_is_one_template_for_each_stack_of_the_hub_and_of_each_site(example: Any) -> None:
    assert set(example.templates) == {
        "HubStorage",
        "HubNetwork",
        "HubLink-hospital-a",
        "HubLink-hospital-b",
        "HubNode",
        *(f"Site{part}-hospital-{site}" for part in ("Storage", "Network", "Node") for site in "ab"),
    }


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        finished = _app(tmp_path / seed, PYTHONHASHSEED=seed)
        assert finished.returncode == 0, finished.stderr
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in ("1", "2"))
    assert first == second
    assert "federate-plan.json" in first


def test_a_federation_that_is_wrong_ends_with_its_problems_and_no_traceback(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: eicu\nregion: us-east-1\n", "utf-8")
    finished = _app(tmp_path / "out", FEDERATE_FILE=str(wrong))
    assert finished.returncode == 2
    assert "wrong.yaml" in finished.stderr
    assert "aggregator" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_file_named_on_the_command_line_goes_before_the_one_of_the_environment(tmp_path: Path) -> None:
    context = json.dumps({"federation": str(tmp_path / "named.yaml")})
    finished = _app(tmp_path / "out", FEDERATE_FILE=str(tmp_path / "other.yaml"), CDK_CONTEXT_JSON=context)
    assert finished.returncode == 2
    assert "named.yaml" in finished.stderr


def test_cdks_own_validation_has_nothing_to_say(tmp_path: Path) -> None:
    finished = _app(tmp_path, CDK_VALIDATION="true")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (tmp_path / "validation-report.json").exists()


def test_templates_need_no_bucket_to_be_deployed(example: Any) -> None:
    for name, content in example.bytes.items():
        assert len(content) < LARGEST_TEMPLATE, name


def test_nothing_is_uploaded_run_or_looked_up(example: Any) -> None:
    manifest = json.loads((example.folder / "manifest.json").read_text("utf-8"))
    assert "missing" not in manifest
    assert not [a for a in manifest["artifacts"].values() if a["type"] == "cdk:asset-manifest"]
    for name, template in example.templates.items():
        kinds = {resource["Type"] for resource in template["Resources"].values()}
        assert not [k for k in kinds if "Lambda" in k or k.startswith(("Custom::", "AWS::CloudFormation::"))], name
        for parameter in template.get("Parameters", {}).values():
            assert not parameter["Type"].startswith("AWS::SSM::Parameter")


def test_parameters_are_strings_with_a_pattern_that_refuses_what_is_not_an_identifier(example: Any) -> None:
    seen = set()
    for template in example.templates.values():
        for name, parameter in template.get("Parameters", {}).items():
            seen.add(name)
            assert parameter["Type"] == "String"
            assert ("Default" in parameter) == (name == "ImageId")
            prefix = PREFIXES[name]
            pattern = re.compile(parameter["AllowedPattern"])
            assert pattern.fullmatch(f"{prefix}-0a1b2c3d4e5f60718")
            assert pattern.fullmatch(f"{prefix}-0a1b2c3d")
            for wrong in (
                "",
                "*",
                f"{prefix}-",
                f"{prefix}-XYZ",
                f"x{prefix}-0a1b2c3d",
                f"{prefix}-0a1b2c3d 0.0.0.0/0",
            ):
                assert not pattern.fullmatch(wrong)
    assert seen == set(PREFIXES)


def test_every_resource_that_can_have_tags_says_whose_it_is(data: Any, synth: Any) -> None:
    data["tags"] = {"cost-centre": "4711"}
    for name, template in synth(data).templates.items():
        node = "aggregator" if name.startswith("Hub") else name.split("-", 1)[1]
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] in UNTAGGABLE:
                continue
            tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}
            expected = {"cost-centre": "4711", "federate:federation": "eicu", "federate:node": node}
            assert tags.items() >= expected.items(), f"{name} {logical_id}"


def test_stacks_of_one_account_wait_for_each_other_and_no_stack_waits_for_another_account(example: Any) -> None:
    for site in ("hospital-a", "hospital-b"):
        assert example.dependencies[f"SiteStorage-{site}"] == set()
        assert example.dependencies[f"SiteNetwork-{site}"] == {f"SiteStorage-{site}"}
        assert example.dependencies[f"SiteNode-{site}"] == {f"SiteStorage-{site}", f"SiteNetwork-{site}"}
        assert example.dependencies[f"HubLink-{site}"] == {"HubNetwork"}
    assert example.dependencies["HubNetwork"] == {"HubStorage"}
    assert example.dependencies["HubNode"] == {"HubStorage", "HubNetwork"}


def test_every_import_is_an_export_of_the_same_account(example: Any) -> None:
    exports = {}
    imports = []
    for stack in example.plan.stacks:
        template = example.templates[stack.id]
        for output in template.get("Outputs", {}).values():
            if "Export" in output:
                exports[output["Export"]["Name"]] = stack.account
        found = re.findall(r'"Fn::ImportValue": "([^"]+)"', json.dumps(template))
        imports += [(name, stack.account) for name in found]
    assert imports
    assert all(exports[name] == account for name, account in imports)


def test_the_pinned_node_js_is_used_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JSII_NODE")
    use_pinned_node()
    assert Path(os.environ["JSII_NODE"]).is_file()
    monkeypatch.setenv("JSII_NODE", "/opt/node")
    use_pinned_node()
    assert os.environ["JSII_NODE"] == "/opt/node"


@pytest.mark.parametrize(("choice", "rules"), [("legacy", 0), ("default", 1)])
def test_the_synthesizer_is_the_federations_choice(data: Any, synth: Any, choice: str, rules: int) -> None:
    data["synthesizer"] = choice
    templates = synth(data).templates.values()
    assert all(len(template.get("Rules", {})) == rules for template in templates)


def test_names_are_unique_in_a_single_account(alone: Any, synth: Any) -> None:
    assembly = synth(alone)
    names = [stack.name for stack in assembly.plan.stacks]
    assert len(names) == len(set(names))
    for kind, key, number in (("AWS::IAM::Role", "RoleName", 3), ("AWS::Logs::LogGroup", "LogGroupName", 6)):
        taken = [
            resource["Properties"][key]
            for template in assembly.templates.values()
            for resource in template["Resources"].values()
            if resource["Type"] == kind and key in resource["Properties"]
        ]
        assert len(taken) == len(set(taken)) == number

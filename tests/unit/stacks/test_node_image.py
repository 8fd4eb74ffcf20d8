"""The image's pipeline: built where nothing else is, by what may do nothing else, and shared with the sites alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from node_bootstrap.image import documents, source

IB = "AWS::ImageBuilder::"


@pytest.fixture
def pipeline(data: Any, synth: Any) -> Any:
    """What synth makes of a federation that needs three kinds of image, in two Regions."""
    data["image_pipeline"] = True
    data["participants"][0]["instance_type"] = "g5g.xlarge"
    data["participants"][1] |= {"instance_type": "c7g.large", "region": "eu-central-1"}
    return synth(data)


@pytest.fixture
def template(pipeline: Any) -> Any:
    return pipeline.templates["NodeImage"]


def test_there_is_none_unless_it_is_asked_for(example: Any) -> None:
    assert "NodeImage" not in example.templates


def test_it_has_a_phase_of_its_own_in_the_aggregators_account_and_needs_nobody(pipeline: Any) -> None:
    (stack,) = (stack for stack in pipeline.plan.stacks if stack.id == "NodeImage")
    assert (stack.phase, stack.node, stack.account, stack.parameters) == ("image", "aggregator", "333333333333", {})
    assert pipeline.dependencies["NodeImage"] == set()


def test_the_other_templates_are_what_they_are_without_it(data: Any, synth: Any, example: Any) -> None:
    data["image_pipeline"] = {"cidr": "10.250.0.0/24"}
    with_it = synth(data)
    assert {name: content for name, content in with_it.bytes.items() if name != "NodeImage"} == example.bytes


def test_cfn_lint_finds_nothing(pipeline: Any) -> None:
    content = pipeline.bytes["NodeImage"].decode()
    assert lint(content, config=ManualArgs(regions=["us-east-1"])) == []


def test_each_kind_is_made_from_its_own_parent_on_its_own_architecture(template: Any, of_type: Any) -> None:
    parents = {recipe["Name"]: recipe["ParentImage"] for recipe in of_type(template, f"{IB}ImageRecipe").values()}
    learning, name = "ssm:/aws/service/deeplearning/ami", "base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
    plain = "ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current"
    assert parents == {
        "federate-eicu-gpu-x86_64": f"{learning}/x86_64/{name}",
        "federate-eicu-gpu-arm64": f"{learning}/arm64/{name}",
        "federate-eicu-cpu-arm64": f"{plain}/arm64/hvm/ebs-gp3/ami-id",
    }
    builders = of_type(template, f"{IB}InfrastructureConfiguration").values()
    types = {one["Name"]: one["InstanceTypes"] for one in builders}
    assert types["federate-eicu-gpu-arm64"] == ["g5g.xlarge"]
    assert types["federate-eicu-cpu-arm64"] == ["m7g.large"]
    assert types["federate-eicu-gpu-x86_64"] == ["g4dn.xlarge"]


def test_the_components_are_the_documents_that_are_rehearsed_byte_for_byte(template: Any, of_type: Any) -> None:
    components = of_type(template, f"{IB}Component").values()
    assert {one["Name"]: one["Data"] for one in components} == {
        f"federate-eicu-{name}": documents.document(name) for name in documents.NAMES
    }


def test_a_recipe_goes_through_build_validate_and_test_with_the_digests_of_this_checkout(
    template: Any, of_type: Any
) -> None:
    digests = [source.archive(of).digest for of in (source.INSTALLED, source.TESTED)]
    for recipe in of_type(template, f"{IB}ImageRecipe").values():
        build, validate, test = recipe["Components"]
        given = {one["Name"]: one["Value"][0] for one in (*build["Parameters"], *test["Parameters"])}
        assert (given["SourceDigest"], given["TestDigest"]) == tuple(digests)
        assert given["Kind"] == recipe["Name"].split("-")[2]
        assert validate["Parameters"] == [{"Name": "SourceDigest", "Value": [digests[0]]}]


def test_another_document_is_another_version(
    data: Any, synth: Any, template: Any, of_type: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = documents.document
    monkeypatch.setattr(documents, "document", lambda name: original(name) + ("# changed\n" if name == "test" else ""))
    data |= {"image_pipeline": True, "tags": {"another": "federation"}}  # or the one that is made already is taken
    changed = synth(data).templates["NodeImage"]

    def versions(of: Any, kind: str) -> dict[str, str]:
        return {one["Name"].removeprefix("federate-eicu-"): one["Version"] for one in of_type(of, IB + kind).values()}

    before, after = versions(template, "Component"), versions(changed, "Component")
    assert (before["build"], before["validate"]) == (after["build"], after["validate"])
    assert before["test"] != after["test"]
    assert versions(template, "ImageRecipe")["gpu-x86_64"] != versions(changed, "ImageRecipe")["gpu-x86_64"]


def test_an_image_is_unencrypted_and_the_sites_accounts_alone_may_launch_it(template: Any, of_type: Any) -> None:
    for recipe in of_type(template, f"{IB}ImageRecipe").values():
        assert [one["Ebs"]["Encrypted"] for one in recipe["BlockDeviceMappings"]] == [False]
    regions = {}
    for distribution in of_type(template, f"{IB}DistributionConfiguration").values():
        (one,) = distribution["Distributions"]
        regions[distribution["Name"]] = one["Region"]
        ami = one["AmiDistributionConfiguration"]
        assert ami["LaunchPermissionConfiguration"] == {"UserIds": ["111111111111", "222222222222"]}
        assert ami["AmiTags"]["federate:image-of"] == "eicu"
        assert "federate:federation" not in ami["AmiTags"]  # an image is nothing that a federation leaves behind
        assert "{{ imagebuilder:buildDate }}" in ami["Name"]
    assert regions["federate-eicu-cpu-arm64"] == "eu-central-1"


def test_a_person_starts_it_and_an_image_that_fails_its_test_is_none(template: Any, of_type: Any) -> None:
    for one in of_type(template, f"{IB}ImagePipeline").values():
        assert "Schedule" not in one
        assert one["ImageTestsConfiguration"]["ImageTestsEnabled"] is True


def test_nobody_gets_in_and_two_ports_lead_out(template: Any, of_type: Any) -> None:
    (group,) = of_type(template, "AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group
    assert of_type(template, "AWS::EC2::SecurityGroupIngress") == {}
    assert sorted(rule["FromPort"] for rule in group["SecurityGroupEgress"]) == [80, 443]
    assert of_type(template, "AWS::EC2::VPCPeeringConnection") == {}


def test_the_build_instance_is_asked_for_tokens_one_hop_away(template: Any, of_type: Any) -> None:
    for one in of_type(template, f"{IB}InfrastructureConfiguration").values():
        assert one["InstanceMetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert one["TerminateInstanceOnFailure"] is True


def test_what_builds_reads_its_source_and_its_components_and_no_secret_parameter_or_data(
    template: Any, of_type: Any
) -> None:
    (role,) = of_type(template, "AWS::IAM::Role").values()
    assert "ManagedPolicyArns" not in role
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    actions = {
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    services = {action.split(":")[0] for action in actions}
    assert services == {"ec2messages", "imagebuilder", "logs", "s3", "ssm", "ssmmessages"}
    assert not [action for action in actions if "*" in action]
    assert not {"ssm:GetParameter", "ssm:GetParameters", "s3:PutObject", "s3:ListBucket"} & actions
    for one in statements:
        assert one["Resource"] != "*" or one["Condition"]["ArnLike"]["ec2:SourceInstanceARN"]


def test_its_bucket_is_closed_to_the_public_and_to_plain_http(template: Any, of_type: Any) -> None:
    (bucket,) = of_type(template, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = of_type(template, "AWS::S3::BucketPolicy").values()
    assert '"aws:SecureTransport": "false"' in json.dumps(rule)

"""The instance: encrypted, reachable by nobody, and known to itself by facts that never change."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

NODES = ("HubNode", "SiteNode-hospital-a", "SiteNode-hospital-b")


def _instance(assembly: Any, stack: str) -> dict[str, Any]:
    properties: dict[str, Any] = assembly.templates[stack]["Resources"]["Instance"]["Properties"]
    return properties


def _image(assembly: Any, site: str) -> str:
    """Return the image that a new node of a site is made from."""
    return str(assembly.templates[f"SiteNode-hospital-{site}"]["Parameters"]["ImageId"]["Default"])


def _user_data(assembly: Any, stack: str) -> str:
    """Return the user data with imported values as {export's name}."""
    value = _instance(assembly, stack)["UserData"]["Fn::Base64"]
    parts = value["Fn::Join"][1] if isinstance(value, dict) else [value]
    return "".join(part if isinstance(part, str) else "{" + part["Fn::ImportValue"] + "}" for part in parts)


@pytest.mark.parametrize("stack", NODES)
def test_a_node_stands_on_the_networks_interface(example: Any, stack: str) -> None:
    (interface,) = _instance(example, stack)["NetworkInterfaces"]
    assert interface["DeviceIndex"] == "0"
    assert "RefNodeInterface" in interface["NetworkInterfaceId"]["Fn::ImportValue"]
    assert not {"SubnetId", "SecurityGroupIds", "PrivateIpAddress", "KeyName"} & set(_instance(example, stack))


@pytest.mark.parametrize("stack", NODES)
def test_metadata_wants_a_token_and_answers_one_hop_away(example: Any, stack: str) -> None:
    assert _instance(example, stack)["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }


def test_every_volume_is_encrypted(example: Any, of_type: Any) -> None:
    count = 0
    for template in example.templates.values():
        for volume in of_type(template, "AWS::EC2::Volume").values():
            assert volume["Encrypted"] is True
            count += 1
        for instance in of_type(template, "AWS::EC2::Instance").values():
            assert [m["Ebs"]["Encrypted"] for m in instance["BlockDeviceMappings"]] == [True]
            count += 1
    assert count == 6  # one state volume and one instance for each of three nodes


def test_hardware_and_image_are_the_participants_choice(data: Any, synth: Any) -> None:
    data["participants"][0] |= {"instance_type": "p4d.24xlarge", "volume_gib": 777, "image": "ami-0123456789abcdef0"}
    assembly = synth(data)
    own, other = (_instance(assembly, f"SiteNode-hospital-{site}") for site in "ab")
    assert (own["InstanceType"], _image(assembly, "a")) == ("p4d.24xlarge", "ami-0123456789abcdef0")
    assert own["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 777
    assert (other["InstanceType"], _image(assembly, "b")) == ("g5.xlarge", "ami-0fed0000000000001")


def test_another_image_changes_nothing_but_the_default_for_a_node_that_is_made_anew(
    data: Any, synth: Any, example: Any
) -> None:
    data["participants"][0]["image"] = "ami-0123456789abcdef0"
    before, after = (copy.deepcopy(a.templates["SiteNode-hospital-a"]) for a in (example, synth(data)))
    assert after["Resources"] == before["Resources"]
    assert after["Resources"]["Instance"]["Properties"]["ImageId"] == {"Ref": "ImageId"}
    assert after["Parameters"]["ImageId"].pop("Default") != before["Parameters"]["ImageId"].pop("Default")
    assert after == before


@pytest.mark.parametrize("stack", NODES)
def test_the_state_volume_is_attached_and_not_the_nodes_own(example: Any, stack: str) -> None:
    resources = example.templates[stack]["Resources"]
    attachment = resources["StateVolumeAttachment"]["Properties"]
    assert attachment["InstanceId"] == {"Ref": "Instance"}
    assert attachment["Device"] == "/dev/sdf"
    assert "Storage" in attachment["VolumeId"]["Fn::ImportValue"]


def test_state_volume_subnet_and_node_are_in_one_zone(data: Any, synth: Any) -> None:
    data["participants"][0]["availability_zone"] = "c"
    templates = synth(data).templates
    subnet = templates["SiteNetwork-hospital-a"]["Resources"]["Subnet"]["Properties"]["AvailabilityZone"]
    volume = templates["SiteStorage-hospital-a"]["Resources"]["StateVolume"]["Properties"]["AvailabilityZone"]
    assert subnet == volume == "us-east-1c"


@pytest.mark.parametrize(("stack", "role"), [("HubNode", "aggregator"), ("SiteNode-hospital-a", "client")])
def test_the_instance_says_its_role(example: Any, stack: str, role: str) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in _instance(example, stack)["Tags"]}
    assert tags["federate:role"] == role
    assert tags["Name"] == f"eicu-{tags['federate:node']}"
    assert _instance(example, stack)["PropagateTagsToVolumeOnCreation"] is True


def test_user_data_holds_who_the_node_is_and_where_its_accounts_storage_is(example: Any) -> None:
    script = _user_data(example, "SiteNode-hospital-a")
    for fact in ("eicu", "hospital-a", "client", "us-east-1", "/federate/eicu/hospital-a", "federate/eicu/hospital-a"):
        assert json.dumps(fact) in script
    assert "{eicu-SiteStorage-hospital-a:ExportsOutputRefBucket" in script
    assert "Token[" not in script


@pytest.mark.parametrize("stack", NODES)
def test_user_data_fits_with_the_longest_bucket_name(example: Any, stack: str) -> None:
    script = _user_data(example, stack)
    assert len(script.encode()) + 63 < 16_384
    assert script.startswith("#!")


def test_nothing_that_may_change_is_in_user_data(data: Any, synth: Any, example: Any) -> None:
    data["training"] |= {"rounds": 3, "seed": 9}
    data["participants"][0] |= {"instance_type": "g5.xlarge", "volume_gib": 300, "gpu_mapping": [0, 1]}
    data["participants"][1]["cidr"] = "10.99.0.0/16"
    assert _user_data(synth(data), "SiteNode-hospital-a") == _user_data(example, "SiteNode-hospital-a")


def test_spot_is_asked_for_once_through_a_launch_template(data: Any, synth: Any, of_type: Any) -> None:
    data["participants"][0]["spot"] = True
    assembly = synth(data)
    (template,) = of_type(assembly.templates["SiteNode-hospital-a"], "AWS::EC2::LaunchTemplate").values()
    market = template["LaunchTemplateData"]["InstanceMarketOptions"]
    assert market["MarketType"] == "spot"
    assert market["SpotOptions"]["SpotInstanceType"] == "one-time"
    assert _instance(assembly, "SiteNode-hospital-a")["LaunchTemplate"]["LaunchTemplateId"] == {"Ref": "Spot"}
    assert of_type(assembly.templates["SiteNode-hospital-b"], "AWS::EC2::LaunchTemplate") == {}


def test_the_role_is_ec2s_to_assume(example: Any) -> None:
    resources = example.templates["SiteNode-hospital-a"]["Resources"]
    (trust,) = resources["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert resources["Role"]["Properties"]["RoleName"] == "federate-eicu-hospital-a"
    assert resources["InstanceProfile"]["Properties"]["Roles"] == [{"Ref": "Role"}]

"""A node on a fixed interface with its state volume: what stays when it goes, and why it cannot be replaced."""

import base64
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stack_templates import node, node_network, subnet, template, vpc


@pytest.fixture
def deployed(account: Any) -> Any:
    assert account.create("network", node_network()) == "CREATE_COMPLETE"
    assert account.create("node", node()) == "CREATE_COMPLETE"
    return account


def instance_of(account: Any) -> dict[str, Any]:
    identifier = account.outputs("node")["InstanceId"]
    return account.client("ec2").describe_instances(InstanceIds=[identifier])["Reservations"][0]["Instances"][0]


def test_a_node_has_the_address_of_its_interface_and_its_volume(deployed: Any) -> None:
    instance = instance_of(deployed)
    assert deployed.outputs("node")["Address"] == instance["PrivateIpAddress"] == "10.10.0.10"
    assert instance["NetworkInterfaces"][0]["NetworkInterfaceId"] == deployed.outputs("network")["Interface"]
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert "PublicIpAddress" not in instance
    volumes = {device["DeviceName"]: device["Ebs"]["VolumeId"] for device in instance["BlockDeviceMappings"]}
    assert volumes["/dev/sdf"] == deployed.outputs("network")["Volume"]


def test_user_data_is_read_back_as_it_was_given(deployed: Any) -> None:
    told = deployed.client("ec2").describe_instance_attribute(
        InstanceId=deployed.outputs("node")["InstanceId"], Attribute="userData"
    )
    assert base64.b64decode(told["UserData"]["Value"]).decode() == "#!/bin/sh\necho first"


def test_deleting_the_node_frees_interface_and_volume_and_deploying_it_again_takes_them(deployed: Any) -> None:
    ec2 = deployed.client("ec2")
    assert deployed.delete("node") == "DELETE_COMPLETE"
    (interface,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    (volume,) = ec2.describe_volumes()["Volumes"]
    assert (interface["Status"], interface["PrivateIpAddress"], volume["State"]) == (
        "available",
        "10.10.0.10",
        "available",
    )
    assert deployed.create("node", node("ami-0d1a0000000000001")) == "CREATE_COMPLETE"
    assert instance_of(deployed)["PrivateIpAddress"] == "10.10.0.10"


def test_replacing_the_node_in_one_update_fails_because_its_interface_is_in_use(deployed: Any) -> None:
    before = instance_of(deployed)["InstanceId"]
    assert deployed.update("node", node("ami-0d1a0000000000001")) == "UPDATE_ROLLBACK_COMPLETE"
    interface = deployed.outputs("network")["Interface"]
    assert f"Interface: [{interface}] in use." in deployed.reason("node", "Node", "UPDATE_FAILED")
    assert (instance_of(deployed)["InstanceId"], instance_of(deployed)["State"]["Name"]) == (before, "running")


def test_an_instance_with_an_address_of_its_own_cannot_be_replaced_either(account: Any) -> None:
    def body(image: str) -> dict[str, Any]:
        place = {"SubnetId": {"Ref": "Subnet"}, "PrivateIpAddress": "10.10.0.5"}
        properties = {"ImageId": image, "InstanceType": "g4dn.xlarge", **place}
        return template(Vpc=vpc(), Subnet=subnet(), Node={"Type": "AWS::EC2::Instance", "Properties": properties})

    assert account.create("s", body("ami-0fed0000000000001")) == "CREATE_COMPLETE"
    assert account.update("s", body("ami-0d1a0000000000001")) == "UPDATE_ROLLBACK_COMPLETE"
    assert "Address 10.10.0.5 is in use." in account.reason("s", "Node", "UPDATE_FAILED")
    assert account.delete("s") == "DELETE_COMPLETE"


def test_a_change_of_user_data_keeps_the_instance(deployed: Any) -> None:
    before = instance_of(deployed)["InstanceId"]
    assert deployed.update("node", node(UserData={"Fn::Base64": "#!/bin/sh\necho second"})) == "UPDATE_COMPLETE"
    assert instance_of(deployed)["InstanceId"] == before
    told = deployed.client("ec2").describe_instance_attribute(InstanceId=before, Attribute="userData")
    assert "second" in base64.b64decode(told["UserData"]["Value"]).decode()


def test_the_console_of_an_instance_is_what_its_body_writes(
    deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.local.aws.additions.console_output import CONSOLES

    monkeypatch.setattr(CONSOLES, "twin", tmp_path)
    instance = instance_of(deployed)["InstanceId"]
    ec2 = deployed.client("ec2")
    assert ec2.get_console_output(InstanceId=instance, Latest=True).get("Output", "") == ""
    (tmp_path / "machines" / instance).mkdir(parents=True)
    (tmp_path / "machines" / instance / "console.log").write_text("cloud-init: no datasource\n")
    assert ec2.get_console_output(InstanceId=instance, Latest=True)["Output"] == "cloud-init: no datasource\n"
    with pytest.raises(ClientError, match="InvalidInstanceID"):
        ec2.get_console_output(InstanceId="i-00000000000000000")


def test_the_network_is_held_by_its_node(deployed: Any) -> None:
    assert deployed.delete("network") == "CREATE_COMPLETE"
    assert "in use by node" in deployed.stack("network")["StackStatusReason"]


def test_a_spot_node_comes_from_a_launch_template(account: Any) -> None:
    body = node(LaunchTemplate={"LaunchTemplateId": {"Ref": "Spot"}, "Version": "1"})
    data = {"InstanceMarketOptions": {"MarketType": "spot"}}
    body["Resources"]["Spot"] = {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}}
    account.create("network", node_network())
    assert account.create("node", body) == "CREATE_COMPLETE"
    assert instance_of(account)["InstanceLifecycle"] == "spot"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"image": "ami-00000000000000000"}, "The image id '[ami-00000000000000000]' does not exist"),
        ({"InstanceType": "g4dn.huge"}, "g4dn.huge"),
        ({"IamInstanceProfile": "nobody"}, "nobody"),
    ],
)
def test_a_node_of_what_does_not_exist_is_refused(account: Any, change: dict[str, Any], code: str) -> None:
    account.create("network", node_network())
    assert account.create("node", node(**change)) == "ROLLBACK_COMPLETE"
    assert code in account.reason("node", "Node", "CREATE_FAILED")


def test_a_volume_in_use_is_not_attached_twice(deployed: Any) -> None:
    volume = deployed.outputs("network")["Volume"]
    with pytest.raises(ClientError, match="is already attached to an instance"):
        deployed.client("ec2").attach_volume(
            VolumeId=volume, InstanceId=deployed.outputs("node")["InstanceId"], Device="/dev/sdg"
        )

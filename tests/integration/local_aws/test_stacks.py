"""A stack's life: creation, update in place, replacement, rollback with the reason, deletion in order, protection."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stack_templates import interface, parameter, subnet, template, volume, vpc


def test_a_stack_is_created_in_order_and_tells_its_outputs(account: Any) -> None:
    outputs = {"Id": {"Value": {"Ref": "Vpc"}, "Description": "the network"}}
    assert account.create("s", template(outputs, Subnet=subnet(), Vpc=vpc())) == "CREATE_COMPLETE"
    assert account.outputs("s") == {"Id": account.vpcs()[0]}
    finished = [where for where, status, _ in account.events("s") if status == "CREATE_COMPLETE"]
    assert finished == ["Vpc", "Subnet", "s"]


def test_a_change_in_place_keeps_the_resource(account: Any) -> None:
    account.create("s", template(Vpc=vpc()))
    before = account.vpcs()
    assert account.update("s", template(Vpc=vpc(EnableDnsHostnames=True))) == "UPDATE_COMPLETE"
    assert account.vpcs() == before
    told = account.client("ec2").describe_vpc_attribute(VpcId=before[0], Attribute="enableDnsHostnames")
    assert told["EnableDnsHostnames"]["Value"] is True


def test_a_replacement_makes_the_new_one_and_then_deletes_the_old_one(account: Any) -> None:
    account.create("s", template(Vpc=vpc("10.10.0.0/16")))
    (before,) = account.vpcs()
    assert account.update("s", template(Vpc=vpc("10.20.0.0/16"))) == "UPDATE_COMPLETE"
    (after,) = account.vpcs()
    assert after != before
    assert [(where, status) for where, status, _ in account.events("s")][-6:] == [
        ("Vpc", "UPDATE_IN_PROGRESS"),
        ("Vpc", "UPDATE_COMPLETE"),
        ("s", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Vpc", "DELETE_IN_PROGRESS"),
        ("Vpc", "DELETE_COMPLETE"),
        ("s", "UPDATE_COMPLETE"),
    ]


def test_a_fixed_address_cannot_be_replaced_because_it_is_in_use(account: Any) -> None:
    account.create("s", template(Vpc=vpc(), Subnet=subnet(), Node=interface()))
    other = subnet("10.10.1.0/24")
    changed = template(Vpc=vpc(), Subnet=subnet(), Other=other, Node=interface("10.10.0.10", GroupSet=[]))
    account.update("s", changed)
    replacing = json.loads(json.dumps(changed))
    replacing["Resources"]["Node"] = interface("10.10.0.11")
    assert account.update("s", replacing) == "UPDATE_COMPLETE"
    blocked = json.loads(json.dumps(replacing))
    blocked["Resources"]["Second"] = interface("10.10.0.11")
    assert account.update("s", blocked) == "UPDATE_ROLLBACK_COMPLETE"
    assert "Address 10.10.0.11 is in use." in account.reason("s", "Second", "CREATE_FAILED")


def test_a_failed_creation_is_undone_and_says_why(account: Any) -> None:
    wrong = template(Vpc=vpc(), Subnet=subnet("10.99.0.0/24"))
    assert account.create("s", wrong) == "ROLLBACK_COMPLETE"
    assert account.vpcs() == []
    reason = account.reason("s", "Subnet", "CREATE_FAILED")
    assert "Resource handler returned message" in reason
    assert "10.99.0.0/24" in reason
    assert account.reason("s", "s", "ROLLBACK_IN_PROGRESS") == (
        "The following resource(s) failed to create: [Subnet]. Rollback requested by user."
    )


def test_a_failed_update_puts_everything_back(account: Any) -> None:
    before = template(Vpc=vpc(), Name=parameter("old"))
    account.create("s", before)
    (network,) = account.vpcs()
    name = account.client("cloudformation").describe_stack_resource(StackName="s", LogicalResourceId="Name")
    stored = name["StackResourceDetail"]["PhysicalResourceId"]
    broken = template(Vpc=vpc(), Name=parameter("new"), Bad={**subnet("10.99.0.0/24"), "DependsOn": "Name"})
    assert account.update("s", broken) == "UPDATE_ROLLBACK_COMPLETE"
    assert account.client("ssm").get_parameter(Name=stored)["Parameter"]["Value"] == "old"
    assert account.vpcs() == [network]
    assert account.update("s", template(Vpc=vpc(), Name=parameter("newer"))) == "UPDATE_COMPLETE"


def test_without_rollback_a_failed_creation_stays_to_be_looked_at_and_can_be_deleted(account: Any) -> None:
    wrong = template(Vpc=vpc(), Subnet=subnet("10.99.0.0/24"))
    assert account.create("s", wrong, DisableRollback=True) == "CREATE_FAILED"
    assert len(account.vpcs()) == 1
    assert account.delete("s") == "DELETE_COMPLETE"
    assert account.vpcs() == []


def test_deletion_goes_in_reverse_and_leaves_nothing(account: Any) -> None:
    account.create("s", template(Vpc=vpc(), Subnet=subnet(), Node=interface()))
    assert account.delete("s") == "DELETE_COMPLETE"
    assert account.vpcs() == []
    assert account.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []


def test_a_resource_that_something_else_uses_ends_in_delete_failed(account: Any) -> None:
    account.create("s", template({"Subnet": {"Value": {"Ref": "Subnet"}}}, Vpc=vpc(), Subnet=subnet(), Free=volume()))
    ec2 = account.client("ec2")
    guest = ec2.create_network_interface(SubnetId=account.outputs("s")["Subnet"])["NetworkInterface"]
    assert account.delete("s") == "DELETE_FAILED"
    assert account.stack("s")["StackStatusReason"] == "The following resource(s) failed to delete: [Subnet]. "
    assert "has dependencies and cannot be deleted" in account.reason("s", "Subnet", "DELETE_FAILED")
    assert ec2.describe_volumes()["Volumes"] == []
    assert len(account.vpcs()) == 1
    ec2.delete_network_interface(NetworkInterfaceId=guest["NetworkInterfaceId"])
    assert account.delete("s") == "DELETE_COMPLETE"
    assert account.vpcs() == []


@pytest.mark.parametrize(("policy", "left", "snapshots"), [("Delete", 0, 0), ("Retain", 1, 0), ("Snapshot", 0, 1)])
def test_the_deletion_policy_decides_what_stays(account: Any, policy: str, left: int, snapshots: int) -> None:
    account.create("s", template(State=volume(DeletionPolicy=policy)))
    assert account.delete("s") == "DELETE_COMPLETE"
    ec2 = account.client("ec2")
    assert len(ec2.describe_volumes()["Volumes"]) == left
    assert len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]) == snapshots


def test_a_retained_resource_survives_its_replacement(account: Any) -> None:
    account.create("s", template(State=volume(UpdateReplacePolicy="Retain")))
    moved = volume(UpdateReplacePolicy="Retain")
    moved["Properties"] = {**moved["Properties"], "AvailabilityZone": "us-east-1b"}
    account.update("s", template(State=moved))
    assert len(account.client("ec2").describe_volumes()["Volumes"]) == 2


def test_a_resource_with_a_custom_name_cannot_be_replaced_under_that_name(account: Any) -> None:
    group = {"GroupName": "nodes", "GroupDescription": "one", "VpcId": {"Ref": "Vpc"}}
    account.create("s", template(Vpc=vpc(), Group={"Type": "AWS::EC2::SecurityGroup", "Properties": group}))
    other = {"Type": "AWS::EC2::SecurityGroup", "Properties": {**group, "GroupDescription": "two"}}
    assert account.update("s", template(Vpc=vpc(), Group=other)) == "UPDATE_ROLLBACK_COMPLETE"
    assert "when a custom-named resource requires replacing" in account.reason("s", "Group", "UPDATE_FAILED")


def test_a_protected_stack_is_not_deleted(account: Any) -> None:
    account.create("s", template(Vpc=vpc()), EnableTerminationProtection=True)
    with pytest.raises(ClientError, match=r"Stack \[s\] cannot be deleted while TerminationProtection is enabled"):
        account.delete("s")
    account.client("cloudformation").update_termination_protection(StackName="s", EnableTerminationProtection=False)
    assert account.delete("s") == "DELETE_COMPLETE"


def test_a_property_that_is_not_implemented_fails_the_resource_and_names_it(account: Any) -> None:
    assert account.create("s", template(Vpc=vpc(Ipv4IpamPoolId="ipam-1"))) == "ROLLBACK_COMPLETE"
    reason = account.reason("s", "Vpc", "CREATE_FAILED")
    assert "#: extraneous key [Ipv4IpamPoolId] is not permitted" in reason
    assert "EnableDnsSupport" in reason
    assert account.vpcs() == []


def test_a_nested_property_that_is_not_implemented_fails_the_resource_and_names_it(account: Any) -> None:
    wrong = template(
        Bucket={
            "Type": "AWS::S3::Bucket",
            "Properties": {"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "ObjectSizeGreaterThan": "5"}]}},
        }
    )
    assert account.create("s", wrong) == "ROLLBACK_COMPLETE"
    assert "extraneous key [ObjectSizeGreaterThan]" in account.reason("s", "Bucket", "CREATE_FAILED")
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_a_resource_type_that_is_not_implemented_is_refused_before_anything_is_made(account: Any) -> None:
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::Lambda::Function\]"):
        account.create("s", template(Vpc=vpc(), Function={"Type": "AWS::Lambda::Function"}))
    with pytest.raises(ClientError, match="Stack with id s does not exist"):
        account.stack("s")


def test_an_update_that_changes_nothing_is_refused(account: Any) -> None:
    account.create("s", template(Vpc=vpc()))
    with pytest.raises(ClientError, match="No updates are to be performed"):
        account.update("s", template(Vpc=vpc()))


def test_an_action_that_is_not_implemented_is_refused_by_name(account: Any) -> None:
    with pytest.raises(ClientError, match="DetectStackDrift is not implemented on loopback AWS"):
        account.client("cloudformation").detect_stack_drift(StackName="s")

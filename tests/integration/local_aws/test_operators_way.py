"""By which operators reach a node: Instance Connect Endpoints, keys that last a minute, and Run Command."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from stack_templates import node, node_network, subnet, template, vpc
from werkzeug.test import Client

from infra.local.aws.accounts import SECRET, static_key

KEY = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def network(**properties: Any) -> dict[str, Any]:
    group = {"GroupDescription": "connect", "VpcId": {"Ref": "Vpc"}}
    endpoint = {
        "SubnetId": {"Ref": "Subnet"},
        "SecurityGroupIds": [{"Fn::GetAtt": ["Group", "GroupId"]}],
        "PreserveClientIp": False,
        **properties,
    }
    return template(
        {"Endpoint": {"Value": {"Ref": "Connect"}}, "Group": {"Value": {"Ref": "Group"}}},
        Vpc=vpc(),
        Subnet=subnet(),
        Group={"Type": "AWS::EC2::SecurityGroup", "Properties": group},
        Connect={"Type": "AWS::EC2::InstanceConnectEndpoint", "Properties": endpoint},
    )


@pytest.fixture
def instance(account: Any) -> str:
    assert account.create("network", node_network()) == "CREATE_COMPLETE"
    assert account.create("node", node()) == "CREATE_COMPLETE"
    return str(account.outputs("node")["InstanceId"])


@pytest.fixture
def agent(emulator: Any) -> Callable[..., tuple[int, Any]]:
    """Call the emulator as the stand-in for an agent does, signed with an account's key."""

    def call(account: str, action: str, **body: Any) -> tuple[int, Any]:
        url, data = f"http://127.0.0.1/_federate/ssm/{action}", json.dumps(body)
        request = AWSRequest("POST", url, data=data, headers={"Content-Type": "application/json"})
        SigV4Auth(Credentials(static_key(account), SECRET), "ssmmessages", "us-east-1").add_auth(request)
        answer = Client(emulator).post(url, data=data, headers=dict(request.headers.items()))
        return answer.status_code, json.loads(answer.get_data())

    return call


def test_an_endpoint_stands_in_its_subnet_with_its_group_and_goes_again_with_its_interface(account: Any) -> None:
    assert account.create("s", network()) == "CREATE_COMPLETE"
    ec2 = account.client("ec2")
    (endpoint,) = ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"]
    assert endpoint["InstanceConnectEndpointId"] == account.outputs("s")["Endpoint"]
    assert endpoint["State"] == "create-complete"
    assert endpoint["SecurityGroupIds"] == [account.outputs("s")["Group"]]
    assert endpoint["OwnerId"] == account.id
    assert endpoint["DnsName"].endswith(".ec2-instance-connect-endpoint.us-east-1.amazonaws.com")
    tags = {tag["Key"]: tag["Value"] for tag in endpoint["Tags"]}
    assert tags["aws:cloudformation:logical-id"] == "Connect"
    (interface,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert [interface["NetworkInterfaceId"]] == endpoint["NetworkInterfaceIds"]
    assert interface["Description"] == f"EC2 Instance Connect Endpoint {endpoint['InstanceConnectEndpointId']}"
    assert [group["GroupId"] for group in interface["Groups"]] == endpoint["SecurityGroupIds"]
    assert interface["PrivateIpAddress"].startswith("10.10.0.")
    assert account.delete("s") == "DELETE_COMPLETE"
    assert ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_endpoints_are_found_by_vpc_and_tag(account: Any, new_account: Any) -> None:
    assert account.create("s", network(Tags=[{"Key": "federate:node", "Value": "aggregator"}])) == "CREATE_COMPLETE", (
        account.events("s")
    )
    ec2 = account.client("ec2")

    def found(client: Any, name: str, value: str) -> int:
        filters = [{"Name": name, "Values": [value]}]
        pages = client.get_paginator("describe_instance_connect_endpoints").paginate(Filters=filters)
        return sum(len(page["InstanceConnectEndpoints"]) for page in pages)

    (own,) = account.vpcs()
    assert found(ec2, "vpc-id", own) == found(ec2, "tag:federate:node", "aggregator") == 1
    assert found(ec2, "vpc-id", "vpc-00000000") == found(ec2, "tag:federate:node", "hospital-a") == 0
    assert found(new_account().client("ec2"), "vpc-id", own) == 0


def test_a_vpc_has_one_endpoint(account: Any) -> None:
    body = network()
    body["Resources"]["Second"] = {**body["Resources"]["Connect"], "DependsOn": "Connect"}
    assert account.create("s", body) == "ROLLBACK_COMPLETE"
    assert "quota is one" in account.reason("s", "Second", "CREATE_FAILED")


def test_an_endpoint_that_is_not_there_is_refused(account: Any) -> None:
    with pytest.raises(ClientError, match=r"InvalidInstanceConnectEndpointId\.NotFound"):
        account.client("ec2").delete_instance_connect_endpoint(InstanceConnectEndpointId="eice-00000000000000000")


def test_a_key_that_was_sent_is_shown_to_its_instance(account: Any, instance: str, emulator: Any) -> None:
    sent = account.client("ec2-instance-connect").send_ssh_public_key(
        InstanceId=instance, InstanceOSUser="federate-operator", SSHPublicKey=KEY
    )
    assert sent["Success"] is True
    answer = Client(emulator).get(f"/_federate/ssh-keys?instance={instance}&user=federate-operator")
    assert answer.get_json() == [KEY]
    assert Client(emulator).get(f"/_federate/ssh-keys?instance={instance}&user=root").get_json() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"InstanceId": "i-00000000000000000"}, "EC2InstanceNotFoundException"),
        ({"SSHPublicKey": "ssh-ed25519 " + "A" * 80}, "InvalidArgsException"),
    ],
)
def test_a_key_for_nobody_or_that_is_none_is_refused(
    account: Any, instance: str, change: dict[str, str], code: str
) -> None:
    asked = {"InstanceId": instance, "InstanceOSUser": "federate-operator", "SSHPublicKey": KEY, **change}
    with pytest.raises(ClientError) as refusal:
        account.client("ec2-instance-connect").send_ssh_public_key(**asked)
    assert refusal.value.response["Error"]["Code"] == code


def test_a_key_for_another_accounts_instance_or_a_stopped_one_is_refused(
    account: Any, instance: str, new_account: Any
) -> None:
    asked = {"InstanceId": instance, "InstanceOSUser": "federate-operator", "SSHPublicKey": KEY}
    with pytest.raises(ClientError, match="EC2InstanceNotFoundException"):
        new_account().client("ec2-instance-connect").send_ssh_public_key(**asked)
    account.client("ec2").stop_instances(InstanceIds=[instance])
    with pytest.raises(ClientError, match="EC2InstanceStateInvalidException"):
        account.client("ec2-instance-connect").send_ssh_public_key(**asked)


def send(account: Any, instance: str, *lines: str) -> str:
    answer = account.client("ssm").send_command(
        InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters={"commands": list(lines)}
    )
    return str(answer["Command"]["CommandId"])


def test_an_agent_runs_a_command_and_the_account_sees_what_came_of_it(account: Any, instance: str, agent: Any) -> None:
    assert agent(account.id, "register", instance=instance, PlatformName="Debian")[0] == 200
    ssm = account.client("ssm")
    (told,) = ssm.describe_instance_information()["InstanceInformationList"]
    assert (told["InstanceId"], told["PingStatus"], told["PlatformName"]) == (instance, "Online", "Debian")
    command = send(account, instance, "echo hello")
    assert ssm.get_command_invocation(CommandId=command, InstanceId=instance)["Status"] == "Pending"
    _, due = agent(account.id, "poll", instance=instance)
    assert [one["script"] for one in due["run"]] == ["echo hello"]
    assert agent(account.id, "begin", instance=instance, command=command)[0] == 200
    assert ssm.get_command_invocation(CommandId=command, InstanceId=instance)["Status"] == "InProgress"
    report = {"command": command, "outcome": "done", "exit_code": 0, "stdout": "hello\n"}
    assert agent(account.id, "report", instance=instance, **report)[0] == 200
    ended = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
    assert (ended["Status"], ended["ResponseCode"], ended["StandardOutputContent"]) == ("Success", 0, "hello\n")
    (listed,) = ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    assert listed["CommandPlugins"][0]["Output"] == "hello\n"
    assert [one["Status"] for one in ssm.list_commands(InstanceId=instance)["Commands"]] == ["Success"]


def test_an_agent_that_waits_is_woken_by_a_command(account: Any, instance: str, agent: Any) -> None:
    agent(account.id, "register", instance=instance)
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(agent(account.id, "poll", instance=instance, wait=20)))
    began = time.monotonic()
    waiting.start()
    command = send(account, instance, "true")
    waiting.join(15)
    assert time.monotonic() - began < 15
    assert found[0][1]["run"][0]["command"] == command


def test_a_running_command_is_cancelled_through_its_agent(account: Any, instance: str, agent: Any) -> None:
    agent(account.id, "register", instance=instance)
    command = send(account, instance, "sleep 100")
    agent(account.id, "begin", instance=instance, command=command)
    ssm = account.client("ssm")
    ssm.cancel_command(CommandId=command)
    assert agent(account.id, "poll", instance=instance)[1]["cancel"] == [command]
    agent(account.id, "report", instance=instance, command=command, outcome="cancelled", exit_code=-9)
    assert ssm.get_command_invocation(CommandId=command, InstanceId=instance)["Status"] == "Cancelled"


def test_a_command_to_an_instance_that_never_registered_is_refused_as_aws_does(account: Any, instance: str) -> None:
    with pytest.raises(ClientError) as refusal:
        send(account, instance, "true")
    error = refusal.value.response["Error"]
    assert error["Code"] == "InvalidInstanceId"
    assert error["Message"] == f"Instances [[{instance}]] not in a valid state for account {account.id}"


def test_an_instance_that_is_gone_is_not_managed_any_more(account: Any, instance: str, agent: Any) -> None:
    agent(account.id, "register", instance=instance)
    account.client("ec2").terminate_instances(InstanceIds=[instance])
    assert account.client("ssm").describe_instance_information()["InstanceInformationList"] == []
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        send(account, instance, "true")


def test_a_command_that_there_is_not_is_refused(account: Any, instance: str) -> None:
    with pytest.raises(ClientError, match="InvocationDoesNotExist"):
        account.client("ssm").get_command_invocation(
            CommandId="00000000-0000-0000-0000-000000000000", InstanceId=instance
        )


def test_an_agent_of_another_account_is_refused(account: Any, instance: str, new_account: Any, agent: Any) -> None:
    status, told = agent(new_account().id, "register", instance=instance)
    assert (status, told["__type"]) == (403, "AccessDeniedException")
    assert account.client("ssm").describe_instance_information()["InstanceInformationList"] == []


def test_an_agent_without_a_key_is_refused(emulator: Any, instance: str) -> None:
    answer = Client(emulator).post("/_federate/ssm/register", json={"instance": instance})
    assert answer.status_code == 403


@pytest.mark.parametrize("body", [{}, {"instance": 5, "exit_code": "x", "command": "c", "outcome": "done"}])
def test_what_an_agent_may_not_say_is_refused_and_not_a_failure_of_the_emulator(
    account: Any, instance: str, agent: Any, body: dict[str, Any]
) -> None:
    agent(account.id, "register", instance=instance)
    status, _ = agent(account.id, "report", **{"instance": instance, **body})
    assert status in (400, 403)

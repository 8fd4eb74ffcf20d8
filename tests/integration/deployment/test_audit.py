"""The audit's negative controls: whatever is planted in an account is found, and what is another's is not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.deployment.audit import Audit, audit
from infra.deployment.audit.run import SomethingIsLeft
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws
from node_bootstrap.measures import dimensions
from stacks.plan import DeploymentPlan, StackPlan

REGION = "us-east-1"
OURS = [{"Key": "federate:federation", "Value": "fed"}]
ANOTHERS = [{"Key": "federate:federation", "Value": "fed-2"}]
TRUST = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "*"}]})
_numbers = itertools.count(500_000_000_000)


@dataclass
class Account:
    """A new account in the emulated AWS, with one stack in the plan of the federation ``fed``."""

    id: str
    clients: InProcessClients

    def client(self, service: str, *, profile: str = "", region: str = REGION) -> Any:
        return self.clients.client(service, self.id, region)

    @property
    def plan(self) -> DeploymentPlan:
        kept = ("Volume", "Bucket", "Key", "LogGroup", "FlowLogGroup")
        stack = StackPlan("HubStorage", "fed-HubStorage", "hub", "aggregator", self.id, REGION, "p", {}, (), kept)
        return DeploymentPlan("fed", "0", (stack,))

    def audit(self) -> Audit:
        return audit(self.plan, self.plan.stacks, self, patience_seconds=0)


@pytest.fixture(scope="module")
def emulator() -> LoopbackAws:
    return LoopbackAws([str(next(_numbers))])


@pytest.fixture
def account(emulator: LoopbackAws) -> Account:
    new = str(next(_numbers))
    emulator.accounts.add([new])
    return Account(new, InProcessClients(emulator))


def tags(kind: str, listed: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": listed}]


def vpc(account: Account, listed: list[dict[str, str]]) -> str:
    made = account.client("ec2").create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tags("vpc", listed))
    return str(made["Vpc"]["VpcId"])


def role(account: Account, name: str, listed: list[dict[str, str]]) -> None:
    account.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=listed)


def volume(account: Account, listed: list[dict[str, str]]) -> Any:
    where = f"{REGION}a"
    return account.client("ec2").create_volume(AvailabilityZone=where, Size=1, TagSpecifications=tags("volume", listed))


def snapshot(account: Account) -> None:
    made = volume(account, ANOTHERS)["VolumeId"]
    account.client("ec2").create_snapshot(VolumeId=made, TagSpecifications=tags("snapshot", OURS))


def instance(account: Account) -> None:
    ec2 = account.client("ec2")
    subnet = ec2.create_subnet(VpcId=vpc(account, ANOTHERS), CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    ec2.run_instances(
        ImageId="ami-0fed0000000000001",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        TagSpecifications=tags("instance", OURS),
    )


def stack(account: Account) -> None:
    body = {"Resources": {"Topic": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "v"}}}}
    account.client("cloudformation").create_stack(StackName="fed-SiteNode-gone", TemplateBody=json.dumps(body))


def connect_endpoint(account: Account) -> None:
    ec2 = account.client("ec2")
    subnet = ec2.create_subnet(VpcId=vpc(account, ANOTHERS), CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    ec2.create_instance_connect_endpoint(SubnetId=subnet, TagSpecifications=tags("instance-connect-endpoint", OURS))


def alarm(account: Account, name: str, listed: list[dict[str, str]]) -> None:
    watched = {"Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    account.client("cloudwatch").put_metric_alarm(
        AlarmName=name, ComparisonOperator="LessThanThreshold", Threshold=1, Tags=listed, **watched
    )


def dashboard(account: Account, name: str, federation: str) -> None:
    metric = ["Federate", "Heartbeat", *(part for item in dimensions(federation, "x").items() for part in item)]
    body = json.dumps({"widgets": [{"properties": {"metrics": [metric]}}]}, separators=(",", ":"))
    account.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=body)


PLANTED: dict[str, Callable[[Account], Any]] = {
    "VPC": lambda account: vpc(account, OURS),
    "subnet": lambda account: account.client("ec2").create_subnet(VpcId=vpc(account, OURS), CidrBlock="10.9.0.0/24"),
    "security group": lambda account: account.client("ec2").create_security_group(
        GroupName="g", Description="d", VpcId=vpc(account, OURS)
    ),
    "volume": lambda account: volume(account, OURS),
    "snapshot": snapshot,
    "instance": instance,
    "Instance Connect endpoint": connect_endpoint,
    "elastic-ip": lambda account: account.client("ec2").allocate_address(
        Domain="vpc", TagSpecifications=tags("elastic-ip", OURS)
    ),
    "bucket": lambda account: account.client("s3").create_bucket(Bucket=f"fed-hubstorage-bucket-{account.id}"),
    "KMS key": lambda account: account.client("kms").create_key(
        Tags=[{"TagKey": "federate:federation", "TagValue": "fed"}]
    ),
    "log group": lambda account: account.client("logs").create_log_group(logGroupName="/federate/fed/hospital-a"),
    "parameter": lambda account: account.client("ssm").put_parameter(
        Name="/federate/fed/hospital-a/state", Value="{}", Type="String"
    ),
    "secret": lambda account: account.client("secretsmanager").create_secret(
        Name="federate/fed/hospital-a/wandb", SecretString="s"
    ),
    "role": lambda account: role(account, "federate-fed-hospital-a", []),
    "instance profile": lambda account: account.client("iam").create_instance_profile(
        InstanceProfileName="fed-HubNode-InstanceProfile-1"
    ),
    "stack": stack,
    "alarm": lambda account: alarm(account, "federate-fed-hospital-a-failed", OURS),
    "dashboard": lambda account: dashboard(account, "federate-fed-hospital-a", "fed"),
    "topic": lambda account: account.client("sns").create_topic(Name="federate-fed-hospital-a"),
}


def test_an_empty_account_is_clean(account: Account) -> None:
    found = account.audit()
    assert (found.is_clean, found.retained) == (True, ())
    assert found.text() == "Audited 1 account: nothing is left."
    found.verdict()


@pytest.mark.parametrize("kind", PLANTED)
def test_negative_control_what_is_planted_is_found(account: Account, kind: str) -> None:
    PLANTED[kind](account)
    found = account.audit()
    assert any(kind in leftover.kind for leftover in found.left)
    with pytest.raises(SomethingIsLeft, match=f"left: account {account.id}, us-east-1: "):
        found.verdict()


def test_what_is_another_federations_is_not_ours(account: Account) -> None:
    vpc(account, ANOTHERS)
    volume(account, ANOTHERS)
    role(account, "federate-fed-2-aggregator", ANOTHERS)  # or the node 2-aggregator of the federation fed?
    account.client("s3").create_bucket(Bucket=f"fed-2-hubstorage-bucket-{account.id}")
    account.client("logs").create_log_group(logGroupName="/federate/fed-2/aggregator")
    account.client("kms").create_key(Tags=[{"TagKey": "federate:federation", "TagValue": "fed-2"}])
    account.client("kms").create_key()
    account.client("ssm").put_parameter(Name="/federate/fed-2/aggregator/state", Value="{}", Type="String")
    account.client("secretsmanager").create_secret(Name="federate/fed-2/x", SecretString="s")
    account.client("iam").create_instance_profile(InstanceProfileName="fed-2-HubNode-InstanceProfile-1")
    alarm(account, "federate-fed-2-aggregator-failed", ANOTHERS)
    dashboard(account, "federate-fed-2-aggregator", "fed-2")
    account.client("sns").create_topic(Name="federate-fed-2-aggregator", Tags=ANOTHERS)
    assert account.audit().left == ()


def test_an_instance_that_is_terminated_is_not_left(account: Account) -> None:
    instance(account)
    ec2 = account.client("ec2")
    running = ec2.describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[running])
    assert "instance" not in {leftover.kind for leftover in account.audit().left}


def test_only_what_the_plan_declares_is_retained(account: Account) -> None:
    for logical_id in ("Volume", "Other"):
        resource = {"Type": "AWS::EC2::Volume", "DeletionPolicy": "Retain"}
        body = {"Resources": {logical_id: {**resource, "Properties": {"AvailabilityZone": f"{REGION}a", "Size": 1}}}}
        cloudformation = account.client("cloudformation")
        cloudformation.create_stack(StackName="fed-HubStorage", TemplateBody=json.dumps(body))
        cloudformation.delete_stack(StackName="fed-HubStorage")
    found = account.audit()
    assert [leftover.kind for leftover in found.retained] == ["volume"]
    assert [leftover.kind for leftover in found.left] == ["volume"]


def test_a_log_group_and_a_key_are_retained_by_their_nodes_name(account: Account) -> None:
    def of(node: str) -> list[dict[str, str]]:
        return [{"TagKey": "federate:federation", "TagValue": "fed"}, {"TagKey": "federate:node", "TagValue": node}]

    for node in ("aggregator", "hospital-gone"):
        for group in (node, f"{node}/network", f"{node}/other"):
            account.client("logs").create_log_group(logGroupName=f"/federate/fed/{group}")
        account.client("kms").create_key(Tags=of(node))
    found = account.audit()
    assert sorted(leftover.kind for leftover in found.retained) == ["KMS key", "log group", "log group"]
    assert sorted(leftover.kind for leftover in found.left) == ["KMS key", *["log group"] * 4]
    assert "kms_key: arn:aws:kms:us-east-1:" in found.text()


def test_a_key_that_is_deleted_later_is_told_with_its_day_and_is_not_left(account: Account) -> None:
    kms = account.client("kms")
    key = kms.create_key(Tags=[{"TagKey": "federate:federation", "TagValue": "fed"}])["KeyMetadata"]
    day = kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=30)["DeletionDate"].date()
    found = account.audit()
    assert (found.left, found.retained, found.is_clean) == ((), (), True)
    assert f"{key['Arn']}, until {day.isoformat()}" in found.text()
    assert "cancel-key-deletion" in found.text()


def test_a_service_that_may_not_be_asked_is_told_and_never_taken_for_empty(account: Account) -> None:
    class Closed(Account):
        def client(self, service: str, *, profile: str = "", region: str = REGION) -> Any:
            if service == "s3":
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListBuckets")
            return super().client(service, profile=profile, region=region)

    found = Closed(account.id, account.clients).audit()
    assert (found.left, found.is_clean) == ((), False)
    with pytest.raises(SomethingIsLeft, match=r"not audited: account \d+, us-east-1: s3: .*AccessDenied"):
        found.verdict()

"""Accounts and a CDK command that exist in memory only: for the order of things, not for what AWS makes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.deployment.cdk import CdkRun
from infra.federation.model import Aggregator, Federation, Participant
from stacks.plan import DeploymentPlan, FromOutput, ManagedPrefixList, Phase, StackPlan

ACCOUNTS = {"aggregator": "333333333333", "hospital-a": "111111111111", "hospital-b": "222222222222"}
#: The image that the federation pins.
PINNED = "ami-0123456789abcdef0"


def federation() -> Federation:
    """Return a federation of two sites."""
    return Federation(
        name="fed",
        region="us-east-1",
        images={"us-east-1": PINNED},
        aggregator=Aggregator(account=ACCOUNTS["aggregator"], profile="aggregator", cidr="10.30.0.0/16"),
        participants=(
            Participant(id="hospital-a", account=ACCOUNTS["hospital-a"], profile="hospital-a", cidr="10.10.0.0/16"),
            Participant(id="hospital-b", account=ACCOUNTS["hospital-b"], profile="hospital-b", cidr="10.20.0.0/16"),
        ),
    )


def stack(id_: str, phase: Phase, node: str, **details: Any) -> StackPlan:
    """Return a stack of the federation ``fed`` in a node's account."""
    return StackPlan(
        id=id_,
        name=f"fed-{id_}",
        phase=phase,
        node=node,
        account=ACCOUNTS[node],
        region="us-east-1",
        profile=node,
        parameters=details.get("parameters", {}),
        outputs=details.get("outputs", ()),
        retained=details.get("retained", ()),
    )


def small_plan() -> DeploymentPlan:
    """Return the plan of a hub and two sites, wired as the real one."""
    hub = [
        stack("HubStorage", "hub", "aggregator"),
        stack("HubNetwork", "hub", "aggregator", parameters={"S3PrefixListId": ManagedPrefixList("s3")}),
    ]
    sites, links = [], []
    for site in ("hospital-a", "hospital-b"):
        wires = {"HubVpcId": FromOutput("HubNetwork", "VpcId")}
        sites += [
            stack(f"SiteStorage-{site}", "sites", site, retained=("Bucket",)),
            stack(f"SiteNetwork-{site}", "sites", site, parameters=wires),
            stack(f"SiteNode-{site}", "sites", site),
        ]
        peering = {"PeeringId": FromOutput(f"SiteNetwork-{site}", "PeeringId")}
        links.append(stack(f"HubLink-{site}", "links", "aggregator", parameters=peering))
    return DeploymentPlan("fed", "0" * 64, (*hub, *sites, *links, stack("HubNode", "links", "aggregator")))


@dataclass
class FakeStack:
    """A stack; ``then`` holds the statuses that it takes one look after the other."""

    status: str
    outputs: dict[str, str] = field(default_factory=dict)
    then: list[str] = field(default_factory=list)
    reason: str = ""
    image: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeCloud:
    """CloudFormation of all accounts. ``stacks`` is by name; ``log`` is what was done, in order.

    ``instances`` holds the states that an instance takes one look after the other; the last one stays.
    """

    stacks: dict[str, FakeStack] = field(default_factory=dict)
    instances: dict[str, list[str]] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=lambda: dict(ACCOUNTS))
    log: list[str] = field(default_factory=list)

    def client(self, service: str, *, profile: str, region: str) -> Any:
        return {"cloudformation": _CloudFormation, "ec2": _Ec2, "sts": _Sts, "s3": _S3}[service](self, profile, region)

    def statuses(self) -> dict[str, str]:
        return {name: stack.status for name, stack in self.stacks.items()}


@dataclass
class _Client:
    cloud: FakeCloud
    profile: str
    region: str


class _CloudFormation(_Client):
    def describe_stacks(self, *, StackName: str) -> Any:  # noqa: N803
        found = self._stack(StackName)
        if found.then:
            found.status = found.then.pop(0)
        if found.status == "DELETE_COMPLETE":
            del self.cloud.stacks[StackName]
            self._stack(StackName)
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in found.outputs.items()]
        known = {**found.parameters, **({"ImageId": found.image} if found.image else {})}
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in known.items()]
        described = {"StackName": StackName, "StackStatus": found.status, "Outputs": outputs, "Parameters": given}
        return {"Stacks": [described]}

    def describe_stack_events(self, *, StackName: str) -> Any:  # noqa: N803
        found = self._stack(StackName)
        failed = {"LogicalResourceId": "Thing", "ResourceType": "AWS::A::Thing", "ResourceStatus": "CREATE_FAILED"}
        begun = {"LogicalResourceId": StackName, "ResourceStatus": "CREATE_IN_PROGRESS"}
        return {"StackEvents": [{**failed, "ResourceStatusReason": found.reason}, begun] if found.reason else [begun]}

    def delete_stack(self, *, StackName: str) -> None:  # noqa: N803
        self.cloud.log.append(f"delete {StackName}")
        found = self._stack(StackName)
        if not found.then:
            found.then = ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"]

    def get_paginator(self, _: str) -> Any:
        raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "ListStackResources")

    def _stack(self, name: str) -> FakeStack:
        if name not in self.cloud.stacks:
            message = f"Stack with id {name} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        return self.cloud.stacks[name]


class _Ec2(_Client):
    def describe_managed_prefix_lists(self, *, Filters: Any) -> Any:  # noqa: N803
        (wanted,) = Filters[0]["Values"]
        known = {"com.amazonaws.us-east-1.s3": "pl-63a5400a"}
        return {"PrefixLists": [{"PrefixListId": known[wanted]}] if wanted in known else []}

    def terminate_instances(self, *, InstanceIds: Any) -> None:  # noqa: N803
        (id_,) = InstanceIds
        self.cloud.log.append(f"terminate {id_}")
        self.cloud.instances[id_] = ["shutting-down", "shutting-down", "terminated"]

    def describe_instances(self, *, InstanceIds: Any) -> Any:  # noqa: N803
        (id_,) = InstanceIds
        if id_ not in self.cloud.instances:
            error = {"Code": "InvalidInstanceID.NotFound", "Message": f"The instance ID '{id_}' does not exist"}
            raise ClientError({"Error": error}, "DescribeInstances")
        states = self.cloud.instances[id_]
        state = states.pop(0) if len(states) > 1 else states[0]
        return {"Reservations": [{"Instances": [{"InstanceId": id_, "State": {"Name": state}}]}]}


class _Sts(_Client):
    def get_caller_identity(self) -> Any:
        account = self.cloud.identities[self.profile]
        if not account.isdigit():
            raise ClientError({"Error": {"Code": account, "Message": "The token is expired"}}, "GetCallerIdentity")
        return {"Account": account, "Arn": f"arn:aws:iam::{account}:user/somebody"}


class _S3(_Client):
    pass


@dataclass
class FakeCdk:
    """A CDK command that does to the fake cloud what is asked, unless told to fail.

    Args:
        cloud: what it acts on.
        folder: for its logs.
        fail: stack names to the reason why they fail.
        during: called while a run is going on, with its title.
    """

    cloud: FakeCloud
    folder: Path
    fail: dict[str, str] = field(default_factory=dict)
    during: Callable[[str], None] = lambda _: None
    parameters: dict[str, str] = field(default_factory=dict)
    interrupted: threading.Event = field(default_factory=threading.Event)

    def deploy(
        self, stacks: Sequence[str], *, profile: str, parameters: Mapping[str, str], concurrency: int, title: str
    ) -> CdkRun:
        self._begin("deploy", stacks, title)
        self.parameters.update(parameters)
        for id_ in stacks:
            name = f"fed-{id_}"
            if name in self.fail:
                self.cloud.stacks[name] = FakeStack("ROLLBACK_COMPLETE", reason=self.fail[name])
                return self._end(title, 1, f"❌  {name} failed: _ToolkitError: see the events")
            outputs = {"VpcId": f"vpc-{id_}", "PeeringId": f"pcx-{id_}"}
            self.cloud.stacks[name] = FakeStack("CREATE_COMPLETE", outputs)
        return self._end(title, 0, "done")

    def destroy(self, stacks: Sequence[str], *, profile: str, concurrency: int, title: str) -> CdkRun:
        self._begin("destroy", stacks, title)
        names = [f"fed-{id_}" for id_ in stacks]
        for name in names:
            if name in self.fail:
                self.cloud.stacks[name].status = "DELETE_FAILED"
                self.cloud.stacks[name].reason = self.fail[name]
            else:
                del self.cloud.stacks[name]
        return self._end(title, int(any(name in self.fail for name in names)), "done")

    def diff(self, stacks: Sequence[str], *, profile: str, title: str) -> CdkRun:
        raise NotImplementedError

    def interrupt(self) -> None:
        self.interrupted.set()

    def _begin(self, verb: str, stacks: Sequence[str], title: str) -> None:
        self.cloud.log.append(f"{verb} {' '.join(stacks)}")
        self.during(title)

    def _end(self, title: str, code: int, text: str) -> CdkRun:
        log = self.folder / f"{title}.log"
        log.write_text(text, "utf-8")
        return CdkRun(code, log)

"""The life of stacks on loopback AWS in this process, without the CDK command: made, changed, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.deployment.parameters import resolve
from infra.federation.model import Federation
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws
from stacks.nodejs import use_pinned_node
from stacks.plan import PLAN_FILE, DeploymentPlan, StackPlan

Template = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """What happened to one resource."""

    stack: str
    logical_id: str
    type: str
    status: str
    physical_id: str


@dataclass(frozen=True)
class Synthesised:
    """Templates by stack id, and the plan."""

    templates: dict[str, Template]
    plan: DeploymentPlan


def synthesised(data: dict[str, Any], folder: Path) -> Synthesised:
    """Synthesise a federation."""
    use_pinned_node()
    from stacks.app import synthesize

    made = synthesize(Federation.model_validate(data), outdir=folder)
    plan = DeploymentPlan.read(made / PLAN_FILE)
    read = {stack.id: json.loads((made / f"{stack.id}.template.json").read_text("utf-8")) for stack in plan.stacks}
    return Synthesised(read, plan)


@dataclass
class Life:
    """Stacks of one federation.

    Args:
        plan: its stacks, in their order.
    """

    plan: DeploymentPlan
    clients: InProcessClients = field(init=False)
    #: What CloudFormation has called of other services: (access key, service, operation).
    called: set[tuple[str, str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        aws = LoopbackAws(sorted({stack.account for stack in self.plan.stacks}), patience=120.0)
        make = aws.clients._make

        def listened(service: str, key: str, region: str) -> Any:
            client = make(service, key, region)
            client.meta.events.register("before-call", lambda model, **_: self.called.add((key, service, model.name)))
            return client

        aws.clients._make = listened  # type: ignore[method-assign]
        self.clients = InProcessClients(aws)

    def client(self, service: str, *, profile: str, region: str) -> Any:
        """Return a client by profile, as the deployment asks for it."""
        account = next(stack.account for stack in self.plan.stacks if stack.profile == profile)
        return self.clients.client(service, account, region)

    def create(self, templates: dict[str, Template]) -> list[Event]:
        """Create every stack; return what happened."""
        return self._each("create_stack", "CREATE_COMPLETE", templates)

    def update(self, templates: dict[str, Template]) -> list[Event]:
        """Update every stack."""
        return self._each("update_stack", "UPDATE_COMPLETE", templates)

    def delete(self) -> list[Event]:
        """Delete every stack, the last one first."""
        events: list[Event] = []
        for stack in reversed(self.plan.stacks):
            cloudformation = self._cloudformation(stack)
            identifier = cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]["StackId"]
            before = len(self._events(stack, identifier))
            self._empty_buckets(stack)
            cloudformation.delete_stack(StackName=stack.name)
            events += self._settled(stack, identifier, "DELETE_COMPLETE", before)
        return events

    def _empty_buckets(self, stack: StackPlan) -> None:
        """Delete every version of every object, as ``destroy`` does: no bucket is deleted that is not empty."""
        s3 = self.clients.client("s3", stack.account, stack.region)
        resources = self._cloudformation(stack).list_stack_resources(StackName=stack.name)["StackResourceSummaries"]
        buckets = [each["PhysicalResourceId"] for each in resources if each["ResourceType"] == "AWS::S3::Bucket"]
        for bucket in buckets:  # before anything is emptied, or the emptying itself would be logged
            s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
        for bucket in buckets:
            told = s3.list_object_versions(Bucket=bucket)
            for each in (*told.get("Versions", []), *told.get("DeleteMarkers", [])):
                s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])

    def _each(self, action: str, wanted: str, templates: dict[str, Template]) -> list[Event]:
        events: list[Event] = []
        for stack in self.plan.stacks:
            given = resolve(self.plan, [stack], self)  # type: ignore[arg-type] - it asks for nothing but client()
            before = 0 if action == "create_stack" else len(self._events(stack, stack.name))
            parameters = {name.partition(":")[2]: value for name, value in given.items()}
            getattr(self._cloudformation(stack), action)(
                StackName=stack.name,
                TemplateBody=json.dumps(templates[stack.id]),
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            )
            events += self._settled(stack, stack.name, wanted, before)
        return events

    def _settled(self, stack: StackPlan, name: str, wanted: str, before: int) -> list[Event]:
        told = self._cloudformation(stack).describe_stacks(StackName=name)["Stacks"][0]
        events = self._events(stack, name)[before:]
        assert told["StackStatus"] == wanted, (stack.name, told["StackStatus"], list(_reasons(events)))
        return [
            Event(
                stack.id,
                each["LogicalResourceId"],
                each["ResourceType"],
                each["ResourceStatus"],
                each["PhysicalResourceId"],
            )
            for each in events
        ]

    def _events(self, stack: StackPlan, name: str) -> list[dict[str, Any]]:
        pages = self._cloudformation(stack).get_paginator("describe_stack_events").paginate(StackName=name)
        return [event for page in pages for event in page["StackEvents"]][::-1]

    def _cloudformation(self, stack: StackPlan) -> Any:
        return self.clients.client("cloudformation", stack.account, stack.region)


def _reasons(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        if "FAILED" in event["ResourceStatus"]:
            yield f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"

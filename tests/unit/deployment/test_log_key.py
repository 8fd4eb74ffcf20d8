"""Log groups that were retained get the key of the deployment that takes them over: the node's, and its flow log's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fake_cloud import FakeCloud, FakeStack, federation

from infra.deployment.log_key import follow_keys
from infra.federation.derive import nodes
from stacks.plan import DeploymentPlan

OLD, NEW = "arn:aws:kms:us-east-1:111111111111:key/old", "arn:aws:kms:us-east-1:111111111111:key/new"
(SITE,) = (node for node in nodes(federation()) if node.id == "hospital-a")
NEIGHBOUR = f"{SITE.log_group}-2"


@dataclass
class Logs:
    """CloudWatch Logs of one account: group to key."""

    keys: dict[str, str] = field(default_factory=dict)

    def get_paginator(self, operation: str) -> Any:
        assert operation == "describe_log_groups"
        return self

    def paginate(self, *, logGroupNamePrefix: str) -> Any:  # noqa: N803
        found = [name for name in self.keys if name.startswith(logGroupNamePrefix)]
        return [{"logGroups": [{"logGroupName": name, "kmsKeyId": self.keys[name]}]} for name in found]

    def associate_kms_key(self, *, logGroupName: str, kmsKeyId: str) -> None:  # noqa: N803
        self.keys[logGroupName] = kmsKeyId


@pytest.fixture
def logs(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> Logs:
    logs, others = Logs(), cloud.client

    def client(service: str, *, profile: str, region: str) -> Any:
        return logs if service == "logs" else others(service, profile=profile, region=region)

    monkeypatch.setattr(cloud, "client", client)
    return logs


def deployed(plan: DeploymentPlan, cloud: FakeCloud) -> Any:
    (storage,) = (stack for stack in plan.stacks if stack.id == "SiteStorage-hospital-a")
    cloud.stacks[storage.name] = FakeStack("CREATE_COMPLETE", {"KeyArn": NEW})
    return [replace(storage, outputs=("KeyArn",))]


def test_the_node_s_log_and_its_flow_log_get_the_new_key_and_a_neighbour_s_does_not(
    plan: DeploymentPlan, cloud: FakeCloud, logs: Logs
) -> None:
    logs.keys = {SITE.log_group: OLD, SITE.flow_log_group: OLD, NEIGHBOUR: OLD}
    assert set(follow_keys("fed", deployed(plan, cloud), cloud)) == {SITE.log_group, SITE.flow_log_group}
    assert logs.keys == {SITE.log_group: NEW, SITE.flow_log_group: NEW, NEIGHBOUR: OLD}


def test_log_groups_that_have_the_key_are_left_alone(plan: DeploymentPlan, cloud: FakeCloud, logs: Logs) -> None:
    logs.keys = {SITE.log_group: NEW, SITE.flow_log_group: NEW}
    assert follow_keys("fed", deployed(plan, cloud), cloud) == ()

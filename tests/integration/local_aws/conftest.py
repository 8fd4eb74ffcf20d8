"""One emulated AWS for all tests, in this process; every test has accounts of its own in it."""

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from marks import mark_integration

REGION = "us-east-1"
_numbers = itertools.count(400_000_000_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@dataclass(frozen=True)
class Account:
    """An account of the emulated AWS, and what a test does in it."""

    id: str
    clients: InProcessClients

    def client(self, service: str) -> Any:
        return self.clients.client(service, self.id, REGION)

    def create(self, name: str, template: dict[str, Any], **options: Any) -> str:
        """Create a stack and return its status."""
        self.client("cloudformation").create_stack(
            StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"], **options
        )
        return self.stack(name)["StackStatus"]

    def update(self, name: str, template: dict[str, Any], **options: Any) -> str:
        """Update a stack and return its status."""
        self.client("cloudformation").update_stack(
            StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"], **options
        )
        return self.stack(name)["StackStatus"]

    def delete(self, name: str) -> str:
        """Delete a stack and return its last status."""
        identifier = self.stack(name)["StackId"]
        self.client("cloudformation").delete_stack(StackName=name)
        return self.stack(identifier)["StackStatus"]

    def stack(self, name: str) -> dict[str, Any]:
        return self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]

    def outputs(self, name: str) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack(name).get("Outputs", [])}

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """Return (logical id, status, reason), oldest first."""
        told = self.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
        return [
            (event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", ""))
            for event in reversed(told)
        ]

    def reason(self, name: str, logical_id: str, status: str) -> str:
        """Return why a resource came to a status."""
        return next(reason for where, what, reason in self.events(name) if (where, what) == (logical_id, status))

    def vpcs(self) -> list[str]:
        """Return the VPCs that are not the account's default one."""
        return [vpc["VpcId"] for vpc in self.client("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]


@pytest.fixture(scope="session")
def emulator() -> LoopbackAws:
    return LoopbackAws([str(next(_numbers))])


@pytest.fixture(scope="session")
def clients(emulator: LoopbackAws) -> InProcessClients:
    return InProcessClients(emulator)


@pytest.fixture
def new_account(emulator: LoopbackAws, clients: InProcessClients) -> Callable[[], Account]:
    def make() -> Account:
        account = str(next(_numbers))
        emulator.accounts.add([account])
        return Account(account, clients)

    return make


@pytest.fixture
def account(new_account: Callable[[], Account]) -> Account:
    return new_account()

"""The example federation, deployed into loopback AWS in this process: its templates, without the CDK command."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

os.environ.setdefault("CDK_VALIDATION", "false")

from infra.deployment.parameters import resolve
from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws
from infra.local.twin.network.picture import Picture
from infra.local.twin.network.reading import read
from stacks.nodejs import use_pinned_node
from stacks.plan import PLAN_FILE, DeploymentPlan

EXAMPLE = Path(__file__).parents[2] / "federation.yaml"


@dataclass(frozen=True)
class DeployedNetwork:
    """A deployed federation."""

    federation: Federation
    clients: InProcessClients

    def client(self, service: str, account: str, region: str) -> Any:
        return self.clients.client(service, account, region)

    def ec2(self, node: str) -> Any:
        found = {each.id: each for each in nodes(self.federation)}[node]
        return self.clients.client("ec2", found.account, found.region)

    def picture(self) -> Picture:
        return read(sorted({(node.account, node.region) for node in nodes(self.federation)}), self.client)


def example() -> Federation:
    """Return the example, with accounts in which no other test of this process makes anything."""
    told = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    for member in (told["aggregator"], *told["participants"]):
        member["account"] = f"9{member['account'][1:]}"
    return Federation.model_validate(told)


def deploy(federation: Federation | None = None) -> DeployedNetwork:
    """Synthesise a federation, by default the example, and create its stacks in their order."""
    use_pinned_node()
    from stacks.app import synthesize

    federation = federation or example()
    with tempfile.TemporaryDirectory() as folder:
        assembly = synthesize(federation, outdir=Path(folder))
        plan = DeploymentPlan.read(assembly / PLAN_FILE)
        clients = InProcessClients(LoopbackAws(sorted({stack.account for stack in plan.stacks})))
        accounts = _ByProfile(clients, {stack.profile: stack.account for stack in plan.stacks})
        for stack in plan.stacks:
            given = resolve(plan, [stack], accounts)
            cloudformation = clients.client("cloudformation", stack.account, stack.region)
            cloudformation.create_stack(
                StackName=stack.name,
                TemplateBody=(assembly / f"{stack.id}.template.json").read_text("utf-8"),
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Parameters=[
                    {"ParameterKey": name.partition(":")[2], "ParameterValue": value} for name, value in given.items()
                ],
            )
            (told,) = cloudformation.describe_stacks(StackName=stack.name)["Stacks"]
            assert told["StackStatus"] == "CREATE_COMPLETE", (stack.name, told.get("StackStatusReason"))
    return DeployedNetwork(federation, clients)


@dataclass(frozen=True)
class _ByProfile:
    clients: InProcessClients
    accounts: dict[str, str]

    def client(self, service: str, *, profile: str, region: str) -> Any:
        return self.clients.client(service, self.accounts[profile], region)

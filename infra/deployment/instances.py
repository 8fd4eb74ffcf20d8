"""The instance of a node's stack: which image it was made from, and its end before its stack's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from infra.accounts import Accounts
from infra.deployment.condition import Condition, Stacks
from infra.deployment.side_by_side import Stop, wait_until
from infra.errors import FederateError
from infra.federation.derive import nodes
from infra.federation.model import Federation
from stacks.plan import IMAGE_PARAMETER, NODE_IMAGE, DeploymentPlan, StackPlan

#: The output of a node's stack that names its instance.
INSTANCE_OUTPUT = "InstanceId"
_GONE = ("terminated", None)


class NothingToReplace(FederateError):
    """A node is to be made anew that was never made."""

    exit_code = 4


class NoImage(FederateError):
    """A node is to be made, and no machine image is pinned for it."""

    exit_code = 4


class NoPipeline(FederateError):
    """The federation's file does not ask for an image pipeline."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Outdated:
    """A deployed node that was made from another image than the one that is pinned for it now."""

    node: str
    deployed: str
    pinned: str

    def __str__(self) -> str:
        """Render it with what to do about it."""
        return f"{self.node} runs {self.deployed}; {self.pinned} is pinned: federate replace {self.node} makes it anew."


def is_of_node(stack: StackPlan) -> bool:
    """Say whether a stack is a node's own: the one with the instance."""
    return stack.id == "HubNode" or stack.id.startswith("SiteNode-")


@dataclass(frozen=True, slots=True)
class Instances:
    """The instances of nodes' stacks, as their accounts have them."""

    accounts: Accounts

    def image(self, stack: StackPlan) -> str | None:
        """Return the image that a node's stack was made with; None if it is not deployed."""
        description = Stacks(self.accounts).describe(stack) or {}
        given = {one["ParameterKey"]: one["ParameterValue"] for one in description.get("Parameters", ())}
        found = given.get(IMAGE_PARAMETER)
        return None if found is None else str(found)

    def end(self, stack: StackPlan, stop: Stop, *, poll_seconds: float) -> None:
        """Terminate a stack's instance, and wait until its machine has shut down; without one, nothing is done.

        CloudFormation deletes the state volume's attachment before the instance, and a volume that is mounted does not
        let itself be detached. A terminated instance has shut down in order, and has no volume any more.
        """
        instance = Stacks(self.accounts).outputs(stack).get(INSTANCE_OUTPUT)
        if instance is None or self._state(stack, instance) in _GONE:
            return
        ec2 = self.accounts.client("ec2", profile=stack.profile, region=stack.region)
        ec2.terminate_instances(InstanceIds=[instance])
        wait_until(lambda: self._state(stack, instance) in _GONE, stop, poll_seconds=poll_seconds)

    def _state(self, stack: StackPlan, instance: str) -> str | None:
        """Return an instance's state; None where EC2 does not know it any more."""
        ec2 = self.accounts.client("ec2", profile=stack.profile, region=stack.region)
        try:
            found = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "InvalidInstanceID.NotFound":
                return None
            raise
        return str(found[0]["Instances"][0]["State"]["Name"]) if found else None


def outdated(federation: Federation, stacks: Sequence[StackPlan], accounts: Accounts) -> tuple[Outdated, ...]:
    """Return the nodes among some stacks that were made from another image than the one that is pinned now."""
    pinned = {node.id: node.image for node in nodes(federation)}
    reader = Instances(accounts)
    deployed = {stack.node: reader.image(stack) for stack in stacks if is_of_node(stack)}
    return tuple(
        Outdated(node, image, wanted)
        for node, image in deployed.items()
        if image is not None and (wanted := pinned[node]) is not None and wanted != image
    )


def pipeline_stack(plan: DeploymentPlan) -> StackPlan:
    """Return the stack that makes machine images.

    Raises:
        NoPipeline: there is none in the plan.
    """
    found = [stack for stack in plan.stacks if stack.id == NODE_IMAGE]
    if not found:
        raise NoPipeline(
            f"The federation {plan.federation} has no image pipeline.",
            remedy="Write image_pipeline: true into its file; docs/machine-image.md says what it makes and costs.",
        )
    return found[0]


def refuse_unless_deployed(plan: DeploymentPlan, stacks: Sequence[StackPlan], accounts: Accounts) -> None:
    """Refuse to make a node anew where the network that it stands in is not there.

    Raises:
        NothingToReplace: naming the nodes.
    """
    reader = Stacks(accounts)
    chosen = {stack.node for stack in stacks}
    networks = [stack for stack in plan.stacks if stack.node in chosen and _is_network(stack)]
    lacking = [stack.node for stack in networks if reader.condition(stack) is Condition.ABSENT]
    if lacking:
        names = ", ".join(lacking)
        raise NothingToReplace(
            f"{names}: not deployed, so there is nothing to replace.",
            remedy=f"federate deploy {' '.join(f'--only {node}' for node in lacking)}",
        )


def refuse_without_image(
    federation: Federation, stacks: Sequence[StackPlan], accounts: Accounts, *, anew: bool = False
) -> None:
    """Refuse to make a node for which no image is pinned; one that is deployed keeps the image that it has.

    Args:
        federation: says which images are pinned.
        stacks: what is to be deployed.
        accounts: AWS's APIs.
        anew: nodes that are deployed are made anew as well.

    Raises:
        NoImage: naming the nodes.
    """
    without = {node.id for node in nodes(federation) if node.image is None}
    reader = Stacks(accounts)
    lacking = [
        stack.node
        for stack in stacks
        if is_of_node(stack)
        and stack.node in without
        and (anew or reader.condition(stack) in (Condition.ABSENT, Condition.BROKEN))
    ]
    if lacking:
        raise NoImage(
            f"No machine image is pinned for {', '.join(lacking)}.",
            remedy="federate image lock pins the newest of the pipeline; federate image lock --ami AMI your own.",
        )


def _is_network(stack: StackPlan) -> bool:
    return stack.id == "HubNetwork" or stack.id.startswith("SiteNetwork-")

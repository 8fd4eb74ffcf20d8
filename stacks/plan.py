"""The deployment plan: which stack goes where, in which phase, and which value of one account another one needs.

Synth writes it beside the templates; whatever deploys them reads it. Nothing here imports CDK.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from infra.errors import FederateError
from infra.federation.model import NO_PROFILE

#: The plan's file in the folder of the synthesised templates.
PLAN_FILE = "federate-plan.json"

#: The parameter of a node's stack that names its machine image; deployment leaves it as it is.
IMAGE_PARAMETER = "ImageId"

#: The stack that makes machine images, and has a phase of its own: no deployment of the federation touches it.
NODE_IMAGE = "NodeImage"
#: Its output with the bucket that holds what images are made from.
SOURCE_BUCKET_OUTPUT = "BucketName"

Phase = Literal["hub", "sites", "links", "image"]


class UnreadablePlan(FederateError):
    """There is no plan in the folder, or it is not one that this version wrote."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class FromOutput:
    """The value is an output of another stack, usually in another account.

    Args:
        stack: id of the stack that has the output.
        output: the output's logical id.
    """

    stack: str
    output: str


@dataclass(frozen=True, slots=True)
class ManagedPrefixList:
    """The value is the id of AWS's own prefix list of a service, in the Region of the stack that asks for it.

    Args:
        service: ``s3`` stands for the list named ``com.amazonaws.<region>.s3``.
    """

    service: str


Source = FromOutput | ManagedPrefixList


@dataclass(frozen=True, slots=True)
class StackPlan:
    """One stack.

    Args:
        id: the construct id, which is the stack's name on the command line: ``SiteNode-hospital-a``.
        name: CloudFormation's name: ``eicu-SiteNode-hospital-a``.
        phase: ``hub``, then ``sites``, then ``links``; ``image`` is apart from them. Within a phase and a node, stacks
            go in the plan's order.
        node: id of the node in whose account the stack is.
        account: 12 digits.
        region: for example ``us-east-1``.
        profile: the AWS profile with that account's credentials; :data:`NO_PROFILE` where nobody here has them.
        parameters: template parameters and where their values come from.
        outputs: logical ids of the outputs.
        retained: logical ids of the resources that outlive the stack.
    """

    id: str
    name: str
    phase: Phase
    node: str
    account: str
    region: str
    profile: str
    parameters: dict[str, Source]
    outputs: tuple[str, ...]
    retained: tuple[str, ...]

    @property
    def is_operated_here(self) -> bool:
        """Whether the coordinator has credentials of the stack's account."""
        return self.profile != NO_PROFILE


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """All stacks of a federation, in an order in which they can be deployed.

    Args:
        federation: the federation's name.
        digest: SHA-256 of the federation that was synthesised: two plans of one digest are the same plan.
        stacks: hub, sites and links.
    """

    federation: str
    digest: str
    stacks: tuple[StackPlan, ...]

    def write(self, path: Path) -> None:
        """Write the plan as JSON; the same plan gives the same bytes."""
        document = {
            "federation": self.federation,
            "digest": self.digest,
            "stacks": [_stack_to_json(stack) for stack in self.stacks],
        }
        path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> DeploymentPlan:
        """Read a plan.

        Raises:
            UnreadablePlan: if there is none, or it is not a plan.
        """
        remedy = "Synthesise anew: python app.py."
        try:
            document = json.loads(path.read_text("utf-8"))
            return cls(
                federation=document["federation"],
                digest=document["digest"],
                stacks=tuple(_stack_from_json(stack) for stack in document["stacks"]),
            )
        except FileNotFoundError:
            raise UnreadablePlan(f"{path}: there is no deployment plan here.", remedy=remedy) from None
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadablePlan(f"{path}: this is not a deployment plan ({error!r}).", remedy=remedy) from None


def pipeline_output(architecture: str, kind: str) -> str:
    """Return the output of the image stack with the ARN of the pipeline that makes this kind of image."""
    return f"PipelineArn{architecture.replace('_', '').capitalize()}{kind.capitalize()}"


def _stack_to_json(stack: StackPlan) -> dict[str, Any]:
    return {
        "id": stack.id,
        "name": stack.name,
        "phase": stack.phase,
        "node": stack.node,
        "account": stack.account,
        "region": stack.region,
        "profile": stack.profile,
        "parameters": {name: _source_to_json(source) for name, source in sorted(stack.parameters.items())},
        "outputs": list(stack.outputs),
        "retained": list(stack.retained),
    }


def _stack_from_json(document: dict[str, Any]) -> StackPlan:
    return StackPlan(
        id=document["id"],
        name=document["name"],
        phase=cast(Phase, document["phase"]),
        node=document["node"],
        account=document["account"],
        region=document["region"],
        profile=document["profile"],
        parameters={name: _source_from_json(source) for name, source in document["parameters"].items()},
        outputs=tuple(document["outputs"]),
        retained=tuple(document["retained"]),
    )


def _source_to_json(source: Source) -> dict[str, str]:
    if isinstance(source, FromOutput):
        return {"stack": source.stack, "output": source.output}
    return {"managed_prefix_list": source.service}


def _source_from_json(document: dict[str, str]) -> Source:
    if "managed_prefix_list" in document:
        return ManagedPrefixList(service=document["managed_prefix_list"])
    return FromOutput(stack=document["stack"], output=document["output"])

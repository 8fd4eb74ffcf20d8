"""What every stack has in common: its account, name, tags, and the part of the deployment plan that it is."""

from __future__ import annotations

from typing import Final

from aws_cdk import (
    CfnOutput,
    CfnParameter,
    CfnResource,
    DefaultStackSynthesizer,
    Environment,
    LegacyStackSynthesizer,
    RemovalPolicy,
    Stack,
    StackSynthesizer,
    Tags,
)
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.federation.derive import Node, stack_name
from infra.federation.model import Federation
from stacks.plan import ManagedPrefixList, Phase, Source, StackPlan

TAG_PREFIX: Final = "federate:"


class FederateStack(Stack):
    """A stack in the account of one node; it records its parameters, outputs and retained resources as it is built.

    Args:
        scope: the app.
        id_: the stack's id; its CloudFormation name is ``<federation>-<id>``.
        federation: the whole federation, for its name, tags and synthesizer.
        home: the node in whose account and Region the stack is.
        phase: when it is deployed.
        description: one sentence, shown in CloudFormation.

    Attributes:
        own_tags: the tags that say whose a resource is; those of the federation's file come beside them.
    """

    def __init__(
        self, scope: Construct, id_: str, *, federation: Federation, home: Node, phase: Phase, description: str
    ) -> None:
        super().__init__(
            scope,
            id_,
            stack_name=stack_name(federation, id_),
            env=Environment(account=home.account, region=home.region),
            synthesizer=_synthesizer(federation),
            description=description,
            analytics_reporting=False,
        )
        self._id = id_
        self._phase = phase
        self._home = home
        self._name = stack_name(federation, id_)
        self._parameters: dict[str, Source] = {}
        self._outputs: list[str] = []
        self._retained: list[str] = []
        self.own_tags: Final = {
            "Name": f"{federation.name}-{home.id}",
            f"{TAG_PREFIX}federation": federation.name,
            f"{TAG_PREFIX}node": home.id,
        }
        for key, value in {**federation.tags, **self.own_tags}.items():
            Tags.of(self).add(key, value)
        if home.permissions_boundary is not None:
            boundary = iam.ManagedPolicy.from_managed_policy_arn(self, "Boundary", home.permissions_boundary)
            iam.PermissionsBoundary.of(self).apply(boundary)

    def ask(self, name: str, *, source: Source, pattern: str, description: str) -> str:
        """Declare a parameter that the deployer fills from ``source``, and return its reference.

        The type is a plain String: ``AWS::EC2::VPC::Id`` and the like would be looked up in this account, and the
        value may be another account's.
        """
        self._parameters[name] = source
        parameter = CfnParameter(
            self,
            name,
            type="String",
            allowed_pattern=pattern,
            constraint_description=f"must match {pattern}",
            description=description,
        )
        return parameter.value_as_string

    def ask_s3_prefix_list(self) -> str:
        """Declare the parameter for the id of S3's prefix list: a template cannot look it up."""
        return self.ask(
            "S3PrefixListId",
            source=ManagedPrefixList(service="s3"),
            pattern="^pl-[0-9a-f]{8,17}$",
            description=f"The managed prefix list com.amazonaws.{self._home.region}.s3 of this Region",
        )

    def tell(self, name: str, value: str, *, description: str) -> None:
        """Declare an output under exactly this logical id."""
        self._outputs.append(name)
        CfnOutput(self, name, value=value, description=description)

    def keep_or_delete(self, resource: CfnResource) -> None:
        """Let the resource outlive the stack if the account's ``on_destroy`` says so.

        What was made by a deployment that fails goes with it: there is nothing in it yet, and a key costs money.
        """
        keep = self._home.spec.on_destroy == "retain"
        resource.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if keep else RemovalPolicy.DESTROY)
        if keep:
            self._retained.append(self.get_logical_id(resource))

    def keep_from_before(self, *logical_ids: str) -> None:
        """Declare retained what this stack does not make, and an earlier deployment may have made: it is named now."""
        self._retained += logical_ids

    @property
    def plan(self) -> StackPlan:
        """This stack's entry in the deployment plan."""
        return StackPlan(
            id=self._id,
            name=self._name,
            phase=self._phase,
            node=self._home.id,
            account=self._home.account,
            region=self._home.region,
            profile=self._home.profile,
            parameters=dict(self._parameters),
            outputs=tuple(self._outputs),
            retained=tuple(self._retained),
        )


def _synthesizer(federation: Federation) -> StackSynthesizer:
    """Return a new synthesizer; the legacy one needs no bootstrap stack in any account."""
    if federation.synthesizer == "legacy":
        return LegacyStackSynthesizer()
    return DefaultStackSynthesizer(qualifier=federation.bootstrap_qualifier)

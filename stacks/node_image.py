"""The machine image's pipeline: EC2 Image Builder in the aggregator's account, which only a person starts."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Fn, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_imagebuilder as imagebuilder
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.federation.derive import Node
from infra.federation.images import Slot, slots
from infra.federation.model import Federation, ImagePipeline
from node_bootstrap.image import documents, source
from stacks.base import FederateStack
from stacks.build_network import BuildNetwork
from stacks.image_pipeline import Image, add_pipeline, log_group, recipe_name, version, word
from stacks.permissions import allow, policy
from stacks.plan import NODE_IMAGE, SOURCE_BUCKET_OUTPUT, pipeline_output


class NodeImage(FederateStack):
    """Components, and for each slot a recipe, a place to build and a pipeline. It holds no data and sees no site.

    Components and recipes never change: what is in them is in their version, so a change makes new ones.

    Args:
        home: the aggregator's node, in whose account and Region images are made.
        settings: the federation's section.
        slots: what the nodes' images must fit.
        accounts: the other accounts, which may launch the images.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        federation: Federation,
        home: Node,
        settings: ImagePipeline,
        slots: tuple[Slot, ...],
        accounts: tuple[str, ...],
    ) -> None:
        super().__init__(
            scope,
            id_,
            federation=federation,
            home=home,
            phase="image",
            description=f"Federate {federation.name}: the pipeline that makes the nodes' machine images",
        )
        # An image is of a Region, a recipe is not: it is made once and copied.
        kinds = sorted({(slot.architecture, slot.kind) for slot in slots})
        prefix = f"federate-{federation.name}"
        bucket = self._bucket()
        installed, tested = source.archive(source.INSTALLED).digest, source.archive(source.TESTED).digest
        at = {digest: f"s3://{bucket.ref}/{digest}.tar" for digest in (installed, tested)}
        given = {
            "build": {"SourceUri": at[installed], "SourceDigest": installed},
            "validate": {"SourceDigest": installed},
            "test": {"TestUri": at[tested], "TestDigest": tested},
        }
        components = {name: self._component(f"{prefix}-{name}", name) for name in documents.NAMES}
        network = BuildNetwork(self, "Network", cidr=str(settings.cidr))
        recipes = tuple(recipe_name(federation, *kind) for kind in kinds)
        profile = self._profile(home, bucket, components, recipes)
        place = {
            "instance_profile_name": profile.ref,
            "subnet_id": network.subnet.ref,
            "security_group_ids": [network.group.attr_group_id],
        }
        for architecture, kind in kinds:
            image = Image(
                federation,
                architecture,
                kind,
                given={**given, "test": {**given["test"], "Kind": kind}},
                regions=_regions(slots, architecture, kind),
                accounts=accounts,
            )
            pipeline = add_pipeline(self, image, components, place)
            self.tell(
                pipeline_output(architecture, kind),
                pipeline.attr_arn,
                description=f"Makes images of {architecture}/{kind}",
            )
        self.tell(SOURCE_BUCKET_OUTPUT, bucket.ref, description="Holds what images are made from")

    def _bucket(self) -> s3.CfnBucket:
        """Return the bucket of the source archives: the toolkit's own sources, and nobody's data."""
        bucket = s3.CfnBucket(
            self,
            "Source",
            bucket_encryption=s3.CfnBucket.BucketEncryptionProperty(
                server_side_encryption_configuration=[
                    s3.CfnBucket.ServerSideEncryptionRuleProperty(
                        server_side_encryption_by_default=s3.CfnBucket.ServerSideEncryptionByDefaultProperty(
                            sse_algorithm="AES256"
                        )
                    )
                ]
            ),
            public_access_block_configuration=s3.CfnBucket.PublicAccessBlockConfigurationProperty(
                block_public_acls=True,
                block_public_policy=True,
                ignore_public_acls=True,
                restrict_public_buckets=True,
            ),
            ownership_controls=s3.CfnBucket.OwnershipControlsProperty(
                rules=[s3.CfnBucket.OwnershipControlsRuleProperty(object_ownership="BucketOwnerEnforced")]
            ),
            versioning_configuration=s3.CfnBucket.VersioningConfigurationProperty(status="Enabled"),
        )
        bucket.apply_removal_policy(RemovalPolicy.DESTROY)
        arns = [bucket.attr_arn, Fn.join("", [bucket.attr_arn, "/*"])]
        s3.CfnBucketPolicy(
            self,
            "SourcePolicy",
            bucket=bucket.ref,
            policy_document=policy(
                {
                    "Sid": "OnlyOverTls",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": arns,
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ),
        )
        return bucket

    def _component(self, name: str, document: str) -> imagebuilder.CfnComponent:
        text = documents.document(document)
        return imagebuilder.CfnComponent(
            self,
            f"Component{word(document)}",
            name=name,
            version=version(text),
            platform="Linux",
            supported_os_versions=["Ubuntu 24"],
            data=text,
        )

    def _profile(
        self,
        home: Node,
        bucket: s3.CfnBucket,
        components: Mapping[str, imagebuilder.CfnComponent],
        recipes: tuple[str, ...],
    ) -> iam.CfnInstanceProfile:
        """Return what an instance may do whose image is being made: read what it is made from, report, and be managed.

        Source: the managed policies EC2InstanceProfileForImageBuilder and AmazonSSMManagedInstanceCore, without what is
        not used; and "Actions, resources, and condition keys" for what can be scoped.
        """
        here = f"{home.region}:{home.account}"
        from_here = {"ArnLike": {"ec2:SourceInstanceARN": f"arn:aws:ec2:{here}:instance/*"}}
        groups = [f"arn:aws:logs:{here}:log-group:{log_group(name)}:log-stream:*" for name in recipes]
        statements = (
            allow("ReadComponents", ["imagebuilder:GetComponent"], [one.attr_arn for one in components.values()]),
            allow("ReadSource", ["s3:GetObject"], [Fn.join("", [bucket.attr_arn, "/*"])]),
            # AWS's own bucket with the program that executes components.
            allow("ReadExecutor", ["s3:GetObject"], [f"arn:aws:s3:::ec2imagebuilder-toe-{home.region}-prod/*"]),
            allow("WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], groups),
            allow("BeManaged", ["ssm:UpdateInstanceInformation"], [f"arn:aws:ec2:{here}:instance/*"]),
            # The message services have no resources to name, so the condition does the narrowing.
            allow(
                "BeCommanded",
                [
                    "ec2messages:AcknowledgeMessage",
                    "ec2messages:DeleteMessage",
                    "ec2messages:FailMessage",
                    "ec2messages:GetEndpoint",
                    "ec2messages:GetMessages",
                    "ec2messages:SendReply",
                    "ssmmessages:CreateControlChannel",
                    "ssmmessages:CreateDataChannel",
                    "ssmmessages:OpenControlChannel",
                    "ssmmessages:OpenDataChannel",
                ],
                ["*"],
                from_here,
            ),
        )
        role = iam.CfnRole(
            self,
            "BuildRole",
            description="What an instance may do whose image is being made",
            assume_role_policy_document=policy(
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ),
            policies=[iam.CfnRole.PolicyProperty(policy_name="build", policy_document=policy(*statements))],
        )
        return iam.CfnInstanceProfile(self, "BuildProfile", roles=[role.ref])


def build(scope: Construct, *, federation: Federation, home: Node, sites: tuple[Node, ...]) -> NodeImage | None:
    """Return the stack, if the federation asks for it."""
    if federation.image_pipeline is None:
        return None
    return NodeImage(
        scope,
        NODE_IMAGE,
        federation=federation,
        home=home,
        settings=federation.image_pipeline,
        slots=slots(federation),
        accounts=tuple(sorted({site.account for site in sites} - {home.account})),
    )


def _regions(slots: tuple[Slot, ...], architecture: str, kind: str) -> tuple[str, ...]:
    found = {slot.region for slot in slots if (slot.architecture, slot.kind) == (architecture, kind)}
    return tuple(sorted(found))

"""The machine image's pipeline: EC2 Image Builder in the aggregator's account, which only a person starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import Fn, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_imagebuilder as imagebuilder
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.federation.derive import Node
from infra.federation.images import ROOT_GIB, Slot, slots
from infra.federation.model import Federation, ImagePipeline
from node_bootstrap.image import documents, source
from stacks.base import TAG_PREFIX, FederateStack
from stacks.build_network import BuildNetwork
from stacks.node import ROOT_DEVICE
from stacks.permissions import allow, policy
from stacks.plan import NODE_IMAGE, SOURCE_BUCKET_OUTPUT, pipeline_output

#: What an image of a slot is made from, by AWS's and Ubuntu's public parameters: the newest at each start.
#: Source: AWS Deep Learning AMIs Developer Guide, "Base DLAMI"; Ubuntu on AWS, "Finding images with SSM".
PARENTS: Final[Mapping[tuple[str, str], str]] = {
    ("x86_64", "gpu"): "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
    ("arm64", "gpu"): "/aws/service/deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
    ("x86_64", "cpu"): "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    ("arm64", "cpu"): "/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id",
}
#: Where an image is built and tested: the smallest type of its kind.
BUILDERS: Final[Mapping[tuple[str, str], str]] = {
    ("x86_64", "gpu"): "g4dn.xlarge",
    ("arm64", "gpu"): "g5g.xlarge",
    ("x86_64", "cpu"): "m6i.large",
    ("arm64", "cpu"): "m7g.large",
}
_LOG_DAYS: Final = 365


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
        self._federation, self._region = federation, home.region
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
        names = {kind: f"{prefix}-{kind[1]}-{kind[0]}" for kind in kinds}
        profile = self._profile(home, bucket, components, tuple(names.values()))
        for architecture, kind in kinds:
            name = names[architecture, kind]
            regions = sorted({slot.region for slot in slots if (slot.architecture, slot.kind) == (architecture, kind)})
            pipeline = self._pipeline(
                name=name,
                where=(architecture, kind),
                components=components,
                given={**given, "test": {**given["test"], "Kind": kind}},
                place={
                    "instance_profile_name": profile.ref,
                    "subnet_id": network.subnet.ref,
                    "security_group_ids": [network.group.attr_group_id],
                },
                regions=regions,
                accounts=accounts,
            )
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
            f"Component{_word(document)}",
            name=name,
            version=_version(text),
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
        groups = [f"arn:aws:logs:{here}:log-group:{_log_group(name)}:log-stream:*" for name in recipes]
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

    def _pipeline(
        self,
        *,
        name: str,
        where: tuple[str, str],
        components: Mapping[str, imagebuilder.CfnComponent],
        given: Mapping[str, Mapping[str, str]],
        place: Mapping[str, Any],
        regions: list[str],
        accounts: tuple[str, ...],
    ) -> imagebuilder.CfnImagePipeline:
        suffix = f"{_word(where[0])}{_word(where[1])}"
        group = logs.CfnLogGroup(self, f"Log{suffix}", log_group_name=_log_group(name), retention_in_days=_LOG_DAYS)
        group.apply_removal_policy(RemovalPolicy.DESTROY)
        parent = f"ssm:{PARENTS[where]}"
        recipe = imagebuilder.CfnImageRecipe(
            self,
            f"Recipe{suffix}",
            name=name,
            # Resolved: a reference's token is another one whenever anything else of the app is.
            version=_version(
                parent,
                str(ROOT_GIB),
                *(documents.document(one) + repr(sorted(self.resolve(dict(given[one])).items())) for one in given),
            ),
            parent_image=parent,
            components=[
                imagebuilder.CfnImageRecipe.ComponentConfigurationProperty(
                    component_arn=components[one].attr_arn,
                    parameters=[
                        imagebuilder.CfnImageRecipe.ComponentParameterProperty(name=key, value=[value])
                        for key, value in given[one].items()
                    ],
                )
                for one in documents.NAMES
            ],
            block_device_mappings=[
                imagebuilder.CfnImageRecipe.InstanceBlockDeviceMappingProperty(
                    device_name=ROOT_DEVICE,
                    ebs=imagebuilder.CfnImageRecipe.EbsInstanceBlockDeviceSpecificationProperty(
                        volume_size=ROOT_GIB,
                        volume_type="gp3",
                        # An encrypted image could be shared only with a key that all sites may use. It holds no data;
                        # each node's root volume is encrypted when it is launched.
                        encrypted=False,
                        delete_on_termination=True,
                    ),
                )
            ],
        )
        infrastructure = imagebuilder.CfnInfrastructureConfiguration(
            self,
            f"Infrastructure{suffix}",
            name=name,
            instance_types=[BUILDERS[where]],
            instance_metadata_options=imagebuilder.CfnInfrastructureConfiguration.InstanceMetadataOptionsProperty(
                http_tokens="required", http_put_response_hop_limit=1
            ),
            terminate_instance_on_failure=True,
            **place,
        )
        distribution = imagebuilder.CfnDistributionConfiguration(
            self,
            f"Distribution{suffix}",
            name=name,
            distributions=[
                imagebuilder.CfnDistributionConfiguration.DistributionProperty(
                    region=region, ami_distribution_configuration=self._ami(name, where, accounts)
                )
                for region in regions
            ],
        )
        pipeline = imagebuilder.CfnImagePipeline(
            self,
            f"Pipeline{suffix}",
            name=name,
            image_recipe_arn=recipe.attr_arn,
            infrastructure_configuration_arn=infrastructure.attr_arn,
            distribution_configuration_arn=distribution.attr_arn,
            image_tests_configuration=imagebuilder.CfnImagePipeline.ImageTestsConfigurationProperty(
                image_tests_enabled=True, timeout_minutes=90
            ),
            enhanced_image_metadata_enabled=True,
            status="ENABLED",
        )
        pipeline.add_resource_dependency(group)  # or Image Builder makes one itself, which is never deleted
        return pipeline

    def _ami(self, name: str, where: tuple[str, str], accounts: tuple[str, ...]) -> dict[str, Any]:
        """Return an image's name, its tags, and who may launch it."""
        tags = {
            **self._federation.tags,
            f"{TAG_PREFIX}image-of": self._federation.name,
            f"{TAG_PREFIX}kind": where[1],
            f"{TAG_PREFIX}version": source.version(),
        }
        launch = {"LaunchPermissionConfiguration": {"UserIds": list(accounts)}} if accounts else {}
        return {"Name": f"{name}-{{{{ imagebuilder:buildDate }}}}", "AmiTags": tags, **launch}


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


def _version(*content: str) -> str:
    """Return a version that is another one whenever the content is. Each part of it may have 30 bits."""
    digest = hashlib.sha256("\0".join(content).encode()).hexdigest()
    return f"1.0.{int(digest[:7], 16)}"


def _log_group(recipe: str) -> str:
    """Return the log group that Image Builder writes to for a recipe."""
    return f"/aws/imagebuilder/{recipe}"


def _word(text: str) -> str:
    """Return text as a part of a logical id."""
    return text.replace("_", "").capitalize()

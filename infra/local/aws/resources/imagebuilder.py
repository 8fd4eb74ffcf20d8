"""EC2 Image Builder's component, recipe, two configurations and pipeline: *record-only*.

moto has no Image Builder. What the template says is written down, with the rules that CloudFormation has for it: what a
change replaces, and that a name (with its version) is taken once. Nothing is ever built: no call of the service is
answered, and a pipeline makes no image here. The components are executed for real by ``federate image rehearse``.

Source for properties, ``Ref`` and attributes: each type's page in the AWS CloudFormation Template Reference.
"""

from __future__ import annotations

from typing import ClassVar

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, names

#: ARNs that are taken, by account and Region.
_taken: dict[tuple[str, str], set[str]] = {}


class _Recorded(Handler):
    """A resource that is written down under its ARN, and named there as Image Builder names it."""

    kind: ClassVar[str]

    def create(self, call: Call, properties: Properties) -> Made:
        """Write it down; refused where its name, or this version of it, is taken."""
        name = str(properties["Name"]).lower().replace(" ", "-")
        arn = f"arn:aws:imagebuilder:{call.region}:{call.account}:{self.kind}/{name}{self._version(properties)}"
        taken = _taken.setdefault((call.account, call.region), set())
        if arn in taken:
            raise ResourceFailure(f"Resource of type '{self.type}' with identifier '{arn}' already exists.")
        taken.add(arn)
        call.begun(arn)
        return Made(arn, {"Arn": arn, "Name": str(properties["Name"])})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change what may be changed in place."""
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Forget it."""
        _taken.get((call.account, call.region), set()).discard(physical_id)

    def _version(self, properties: Properties) -> str:
        return f"/{properties['Version']}" if "Version" in self.schema.known else ""


class Component(_Recorded):
    """``AWS::ImageBuilder::Component``: a change of anything but tags makes another one."""

    type = "AWS::ImageBuilder::Component"
    kind = "component"
    schema = Schema(
        create_only=names("Name Version Platform Data Description ChangeDescription SupportedOsVersions KmsKeyId"),
        required=names("Name Version Platform"),
        tags="map",
    )

    def _version(self, properties: Properties) -> str:
        """Return version and build; the first build of a version is 1."""
        return f"/{properties['Version']}/1"


class ImageRecipe(_Recorded):
    """``AWS::ImageBuilder::ImageRecipe``: a change of anything but tags makes another one."""

    type = "AWS::ImageBuilder::ImageRecipe"
    kind = "image-recipe"
    schema = Schema(
        create_only=names("Name Version ParentImage Components BlockDeviceMappings Description WorkingDirectory"),
        required=names("Name Version"),
        tags="map",
    )


class InfrastructureConfiguration(_Recorded):
    """``AWS::ImageBuilder::InfrastructureConfiguration``."""

    type = "AWS::ImageBuilder::InfrastructureConfiguration"
    kind = "infrastructure-configuration"
    schema = Schema(
        create_only=names("Name"),
        updatable=names(
            "InstanceProfileName InstanceTypes SubnetId SecurityGroupIds InstanceMetadataOptions "
            "TerminateInstanceOnFailure ResourceTags Description Logging SnsTopicArn"
        ),
        required=names("Name InstanceProfileName"),
        tags="map",
    )


class DistributionConfiguration(_Recorded):
    """``AWS::ImageBuilder::DistributionConfiguration``."""

    type = "AWS::ImageBuilder::DistributionConfiguration"
    kind = "distribution-configuration"
    schema = Schema(
        create_only=names("Name"),
        updatable=names("Distributions Description"),
        required=names("Name Distributions"),
        tags="map",
    )


class ImagePipeline(_Recorded):
    """``AWS::ImageBuilder::ImagePipeline``; it makes no image here."""

    type = "AWS::ImageBuilder::ImagePipeline"
    kind = "image-pipeline"
    schema = Schema(
        create_only=names("Name"),
        updatable=names(
            "ImageRecipeArn InfrastructureConfigurationArn DistributionConfigurationArn ImageTestsConfiguration "
            "EnhancedImageMetadataEnabled Status Schedule Description"
        ),
        required=names("Name InfrastructureConfigurationArn"),
        tags="map",
    )


HANDLERS = (Component(), ImageRecipe(), InfrastructureConfiguration(), DistributionConfiguration(), ImagePipeline())

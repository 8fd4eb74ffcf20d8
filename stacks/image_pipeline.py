"""One pipeline of machine images: for one architecture and kind, what is built, where, and who may launch it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_imagebuilder as imagebuilder
from aws_cdk import aws_logs as logs

from infra.federation.images import ROOT_GIB
from infra.federation.model import Federation
from node_bootstrap.image import documents, source
from stacks.base import TAG_PREFIX
from stacks.node import ROOT_DEVICE

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


@dataclass(frozen=True, slots=True)
class Image:
    """What a pipeline makes.

    Args:
        federation: whose nodes it is for.
        architecture: ``x86_64`` or ``arm64``.
        kind: ``gpu`` or ``cpu``.
        given: parameters by component.
        regions: where it is copied to.
        accounts: which may launch it besides the one that makes it.
    """

    federation: Federation
    architecture: str
    kind: str
    given: Mapping[str, Mapping[str, str]]
    regions: tuple[str, ...]
    accounts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of all that the pipeline consists of."""
        return recipe_name(self.federation, self.architecture, self.kind)

    @property
    def suffix(self) -> str:
        """The end of its constructs' ids."""
        return f"{word(self.architecture)}{word(self.kind)}"

    @property
    def parent(self) -> str:
        """What it is made from, as a recipe names it."""
        return f"ssm:{PARENTS[self.architecture, self.kind]}"


def add_pipeline(
    stack: Stack, image: Image, components: Mapping[str, imagebuilder.CfnComponent], place: Mapping[str, Any]
) -> imagebuilder.CfnImagePipeline:
    """Add a pipeline to a stack, with its log, recipe, infrastructure and distribution.

    Args:
        stack: of the account that makes images.
        image: what it makes.
        components: what is executed on the instance, by name.
        place: instance profile, subnet and security groups of that instance.
    """
    log = _log(stack, image)
    recipe = _recipe(stack, image, components)
    infrastructure = _infrastructure(stack, image, place)
    distribution = _distribution(stack, image)
    pipeline = imagebuilder.CfnImagePipeline(
        stack,
        f"Pipeline{image.suffix}",
        name=image.name,
        image_recipe_arn=recipe.attr_arn,
        infrastructure_configuration_arn=infrastructure.attr_arn,
        distribution_configuration_arn=distribution.attr_arn,
        image_tests_configuration=imagebuilder.CfnImagePipeline.ImageTestsConfigurationProperty(
            image_tests_enabled=True, timeout_minutes=90
        ),
        enhanced_image_metadata_enabled=True,
        status="ENABLED",
    )
    pipeline.add_resource_dependency(log)  # or Image Builder makes one itself, which is never deleted
    return pipeline


def recipe_name(federation: Federation, architecture: str, kind: str) -> str:
    """Return a recipe's name, which its log group has as well."""
    return f"federate-{federation.name}-{kind}-{architecture}"


def log_group(recipe: str) -> str:
    """Return the log group that Image Builder writes to for a recipe."""
    return f"/aws/imagebuilder/{recipe}"


def version(*content: str) -> str:
    """Return a version that is another one whenever the content is. Each part of it may have 30 bits."""
    digest = hashlib.sha256("\0".join(content).encode()).hexdigest()
    return f"1.0.{int(digest[:7], 16)}"


def word(text: str) -> str:
    """Return text as a part of a logical id."""
    return text.replace("_", "").capitalize()


def _log(stack: Stack, image: Image) -> logs.CfnLogGroup:
    group = logs.CfnLogGroup(
        stack, f"Log{image.suffix}", log_group_name=log_group(image.name), retention_in_days=_LOG_DAYS
    )
    group.apply_removal_policy(RemovalPolicy.DESTROY)
    return group


def _recipe(
    stack: Stack, image: Image, components: Mapping[str, imagebuilder.CfnComponent]
) -> imagebuilder.CfnImageRecipe:
    return imagebuilder.CfnImageRecipe(
        stack,
        f"Recipe{image.suffix}",
        name=image.name,
        version=_recipe_version(stack, image),
        parent_image=image.parent,
        components=[
            imagebuilder.CfnImageRecipe.ComponentConfigurationProperty(
                component_arn=components[one].attr_arn,
                parameters=[
                    imagebuilder.CfnImageRecipe.ComponentParameterProperty(name=key, value=[value])
                    for key, value in image.given[one].items()
                ],
            )
            for one in documents.NAMES
        ],
        block_device_mappings=[_root_disk()],
    )


def _recipe_version(stack: Stack, image: Image) -> str:
    # Resolved: a reference's token is another one whenever anything else of the app is.
    given = {one: repr(sorted(stack.resolve(dict(values)).items())) for one, values in image.given.items()}
    return version(image.parent, str(ROOT_GIB), *(documents.document(one) + values for one, values in given.items()))


def _root_disk() -> imagebuilder.CfnImageRecipe.InstanceBlockDeviceMappingProperty:
    return imagebuilder.CfnImageRecipe.InstanceBlockDeviceMappingProperty(
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


def _infrastructure(
    stack: Stack, image: Image, place: Mapping[str, Any]
) -> imagebuilder.CfnInfrastructureConfiguration:
    return imagebuilder.CfnInfrastructureConfiguration(
        stack,
        f"Infrastructure{image.suffix}",
        name=image.name,
        instance_types=[BUILDERS[image.architecture, image.kind]],
        instance_metadata_options=imagebuilder.CfnInfrastructureConfiguration.InstanceMetadataOptionsProperty(
            http_tokens="required", http_put_response_hop_limit=1
        ),
        terminate_instance_on_failure=True,
        **place,
    )


def _distribution(stack: Stack, image: Image) -> imagebuilder.CfnDistributionConfiguration:
    return imagebuilder.CfnDistributionConfiguration(
        stack,
        f"Distribution{image.suffix}",
        name=image.name,
        distributions=[
            imagebuilder.CfnDistributionConfiguration.DistributionProperty(
                region=region, ami_distribution_configuration=_ami(image)
            )
            for region in image.regions
        ],
    )


def _ami(image: Image) -> dict[str, Any]:
    """Return an image's name, its tags, and who may launch it."""
    tags = {
        **image.federation.tags,
        f"{TAG_PREFIX}image-of": image.federation.name,
        f"{TAG_PREFIX}kind": image.kind,
        f"{TAG_PREFIX}version": source.version(),
    }
    launch = {"LaunchPermissionConfiguration": {"UserIds": list(image.accounts)}} if image.accounts else {}
    return {"Name": f"{image.name}-{{{{ imagebuilder:buildDate }}}}", "AmiTags": tags, **launch}

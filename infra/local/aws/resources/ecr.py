"""``AWS::ECR::Repository``; the CDK's bootstrap stack has one, and nothing here puts an image into it."""

from __future__ import annotations

from typing import Any

from infra.local.aws.resources.base import (
    Attributes,
    Call,
    Handler,
    Made,
    Properties,
    Schema,
    document,
    names,
    only,
    pick,
)


class Repository(Handler):
    """A repository of container images."""

    type = "AWS::ECR::Repository"
    schema = Schema(
        create_only=names("RepositoryName"),
        updatable=names("ImageTagMutability LifecyclePolicy RepositoryPolicyText"),
        name="RepositoryName",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the repository."""
        ecr = call.service("ecr")
        name = properties.get("RepositoryName") or call.generated_name(200, lower=True)
        mutability = {k[0].lower() + k[1:]: v for k, v in pick(properties, "ImageTagMutability").items()}
        made = ecr.create_repository(repositoryName=name, **mutability)["repository"]
        call.begun(name)
        _configure(ecr, name, properties)
        return Made(name, {"Arn": made["repositoryArn"], "RepositoryUri": made["repositoryUri"]})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change mutability and policies."""
        ecr = call.service("ecr")
        wanted = new.get("ImageTagMutability", "MUTABLE")
        ecr.put_image_tag_mutability(repositoryName=physical_id, imageTagMutability=wanted)
        _configure(ecr, physical_id, new)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the repository; refused while it is not empty."""
        call.service("ecr").delete_repository(repositoryName=physical_id)


def _configure(ecr: Any, name: str, properties: Properties) -> None:
    if "LifecyclePolicy" in properties:
        only(properties["LifecyclePolicy"], "LifecyclePolicy", "LifecyclePolicyText")
        text = properties["LifecyclePolicy"]["LifecyclePolicyText"]
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)
    if "RepositoryPolicyText" in properties:
        ecr.set_repository_policy(repositoryName=name, policyText=document(properties["RepositoryPolicyText"]))


HANDLERS = (Repository(),)

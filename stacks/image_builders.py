"""The least that a person needs in the aggregator's account to have machine images made, and to let sites launch them.

It is a document of its own: who makes the image that every node boots from need not be who deploys the nodes, and
touches none of them. Nothing here imports CDK.
"""

from __future__ import annotations

from typing import Final

from infra.federation.derive import Node, nodes, stack_name
from infra.federation.images import slots
from infra.federation.model import Federation
from node_bootstrap.image import documents
from stacks import made
from stacks.made import allow_each
from stacks.permissions import Statement, allow
from stacks.plan import NODE_IMAGE

_NETWORK: Final = (
    "AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroup* CreateInternetGateway CreateRoute "
    "CreateRouteTable CreateSecurityGroup CreateSubnet CreateTags CreateVpc DeleteInternetGateway DeleteRoute "
    "DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVpc DetachInternetGateway "
    "DisassociateRouteTable ModifySubnetAttribute ModifyVpcAttribute ReplaceRoute RevokeSecurityGroup* "
    "UpdateSecurityGroupRuleDescriptions*"
)
#: What has a version is never changed, only made anew.
#: Source: "Actions, resources, and condition keys for Amazon EC2 Image Builder", Service Authorization Reference.
_PIPELINE: Final = (
    "CreateComponent CreateDistributionConfiguration CreateImagePipeline CreateImageRecipe "
    "CreateInfrastructureConfiguration DeleteComponent DeleteDistributionConfiguration DeleteImagePipeline "
    "DeleteImageRecipe DeleteInfrastructureConfiguration GetComponent GetDistributionConfiguration GetImagePipeline "
    "GetImageRecipe GetInfrastructureConfiguration ListTagsForResource TagResource UntagResource "
    "UpdateDistributionConfiguration UpdateImagePipeline UpdateInfrastructureConfiguration"
)
_SERVICE: Final = "imagebuilder.amazonaws.com"


def statements(federation: Federation, hub: Node) -> list[Statement]:
    """Return the statements of the document; of the image pipeline's stack and what it makes, and of nothing else.

    Args:
        federation: whose images.
        hub: the aggregator's node, in whose account and Region they are made.
    """
    account, here = hub.account, f"{hub.region}:{hub.account}"
    through = made.BY_CLOUDFORMATION
    name = stack_name(federation, NODE_IMAGE)
    begins = f"{name[: made.NAME_KEPT]}*"
    role, bucket = f"arn:aws:iam::{account}:role/{begins}", f"arn:aws:s3:::{begins.lower()}"
    recipes = _recipes(federation)
    bounded = made.BOUNDED if hub.permissions_boundary else frozenset[str]()
    found = [
        allow_each("OwnStack", "cloudformation", made.STACKS, [f"arn:aws:cloudformation:{here}:stack/{name}/*"]),
        allow_each(
            "NetworkByTheStack", "ec2", _NETWORK, ["*"], through | {"StringEquals": {"aws:RequestedRegion": hub.region}}
        ),
        allow_each(
            "RoleByTheStack",
            "iam",
            f"{made.but(made.ROLES, bounded)} {made.PROFILES}",
            [role, f"arn:aws:iam::{account}:instance-profile/{begins}"],
            through,
        ),
        allow("PassToBuilds", ["iam:PassRole"], [role], {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
        allow(
            "ServicesOwnRole",
            ["iam:CreateServiceLinkedRole"],
            [f"arn:aws:iam::{account}:role/aws-service-role/{_SERVICE}/*"],
            {"StringEquals": {"iam:AWSServiceName": _SERVICE}},
        ),
        allow_each("PipelineByTheStack", "imagebuilder", _PIPELINE, _pipelines(federation, hub, recipes), through),
        # A recipe's parent is named by AWS's and Ubuntu's public parameters, which are of no account.
        allow("ReadParents", ["ssm:GetParameter"], [f"arn:aws:ssm:{hub.region}::parameter/aws/service/*"]),
        allow_each("LogsByTheStack", "logs", made.LOGS, _log_groups(here, recipes), through),
        allow_each("BucketByTheStack", "s3", made.BUCKETS, [bucket], through),
        allow("BringSources", ["s3:PutObject"], [f"{bucket}/*.tar"]),
        allow_each("EmptyTheBucketAtTheEnd", "s3", made.EMPTIED_BUCKETS, [bucket, f"{bucket}/*"]),
        allow_each(
            "Build",
            "imagebuilder",
            "GetImage GetImagePipeline StartImagePipelineExecution",
            [
                f"arn:aws:imagebuilder:{here}:{each}"
                for one in recipes
                for each in (f"image-pipeline/{one}", f"image/{one}/*")
            ],
        ),
        allow_each(
            "ReadBuildLogs", "logs", "DescribeLogStreams FilterLogEvents GetLogEvents", _log_groups(here, recipes)
        ),
        *_images(federation),
    ]
    if bounded:
        only = {"StringEquals": {"iam:PermissionsBoundary": hub.permissions_boundary}}
        found.append(allow_each("RoleWithItsBoundary", "iam", " ".join(sorted(bounded)), [role], through | only))
    return found


def _images(federation: Federation) -> list[Statement]:
    """What finds images and says who may launch those that were made here, wherever there are nodes."""
    regions = sorted({node.region for node in nodes(federation)})
    return [
        allow("LookAtImages", ["ec2:Describe*"], ["*"], {"StringEquals": {"aws:RequestedRegion": regions}}),
        allow(
            "ShareImages",
            ["ec2:ModifyImageAttribute"],
            [f"arn:aws:ec2:{region}::image/*" for region in regions],
            {"StringEquals": {"aws:ResourceTag/federate:image-of": federation.name}},
        ),
    ]


def _recipes(federation: Federation) -> list[str]:
    """Return the names under which the kinds of image that the nodes need are made."""
    kinds = {(slot.architecture, slot.kind) for slot in slots(federation)}
    return sorted(f"federate-{federation.name}-{kind}-{architecture}" for architecture, kind in kinds)


def _pipelines(federation: Federation, hub: Node, recipes: list[str]) -> list[str]:
    here = f"arn:aws:imagebuilder:{hub.region}:{hub.account}"
    components = [f"{here}:component/federate-{federation.name}-{name}/*" for name in documents.NAMES]
    parts = (
        "image-recipe/{}/*",
        "infrastructure-configuration/{}",
        "distribution-configuration/{}",
        "image-pipeline/{}",
    )
    return [*components, *(f"{here}:{part.format(recipe)}" for recipe in recipes for part in parts)]


def _log_groups(here: str, recipes: list[str]) -> list[str]:
    groups = [f"arn:aws:logs:{here}:log-group:/aws/imagebuilder/{recipe}" for recipe in recipes]
    return [*groups, *(f"{group}:*" for group in groups)]

"""The machine: an instance on the network's fixed address, its role, and the volume that outlives it."""

from __future__ import annotations

from aws_cdk import CfnParameter, CfnTag, Fn, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.federation.derive import Node
from infra.federation.model import Federation
from node_bootstrap import user_data
from stacks.base import TAG_PREFIX, FederateStack
from stacks.observability import watch_node
from stacks.permissions import key_permissions, node_permissions, policy
from stacks.plan import IMAGE_PARAMETER, Phase
from stacks.private_network import PrivateNetwork
from stacks.storage import Storage

#: Root device of the Ubuntu images that Federate's machine image is made from.
ROOT_DEVICE = "/dev/sda1"
STATE_DEVICE = "/dev/sdf"


class NodeStack(FederateStack):
    """``HubNode`` and ``SiteNode-<id>``: a node that can be thrown away.

    CloudFormation replaces an instance by making the new one first, and the network interface cannot be on two at once:
    an update that replaces the instance fails and rolls back. So the image is a parameter: whoever updates the stack
    keeps the value that it has, and only ``federate replace``, which deletes this stack and deploys it again, takes
    the pinned one. Keys and checkpoints are on the state volume. User data never changes what runs: an instance runs it
    once, so it holds only what never changes.

    Args:
        home: the node.
        phase: when it is deployed.
        network: the node's network, which has its address.
        storage: the node's bucket and state volume.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        federation: Federation,
        home: Node,
        phase: Phase,
        network: PrivateNetwork,
        storage: Storage,
    ) -> None:
        super().__init__(
            scope,
            id_,
            federation=federation,
            home=home,
            phase=phase,
            description=f"Federate {federation.name}: the node of {home.id}",
        )
        profile = iam.CfnInstanceProfile(self, "InstanceProfile", roles=[self._role(home, storage).ref])
        instance = ec2.CfnInstance(
            self,
            "Instance",
            image_id=self._image(home),
            instance_type=home.spec.instance_type,
            iam_instance_profile=profile.ref,
            network_interfaces=[
                ec2.CfnInstance.NetworkInterfaceProperty(
                    device_index="0", network_interface_id=network.node_interface.ref
                )
            ],
            block_device_mappings=[
                ec2.CfnInstance.BlockDeviceMappingProperty(
                    device_name=ROOT_DEVICE,
                    ebs=ec2.CfnInstance.EbsProperty(
                        volume_size=home.spec.volume_gib,
                        volume_type="gp3",
                        encrypted=True,
                        kms_key_id=storage.key.attr_arn,
                        delete_on_termination=True,
                    ),
                )
            ],
            metadata_options=ec2.CfnInstance.MetadataOptionsProperty(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            launch_template=self._spot() if home.spec.spot else None,
            ebs_optimized=True,
            # Its metrics every minute: one shows a node that stalls within a round, five minutes do not.
            monitoring=True,
            propagate_tags_to_volume_on_creation=True,
            user_data=Fn.base64(user_data.render(_identity(home, storage))),
        )
        Tags.of(instance).add(f"{TAG_PREFIX}role", home.role)
        ec2.CfnVolumeAttachment(
            self,
            "StateVolumeAttachment",
            instance_id=instance.ref,
            volume_id=storage.state_volume.ref,
            device=STATE_DEVICE,
        )
        watch_node(self, federation=federation, home=home, instance_id=instance.ref)
        self.tell("InstanceId", instance.ref, description="The node")

    def _image(self, home: Node) -> str:
        """Declare the parameter for the image; its default, the pinned one, is for a node that is made anew."""
        parameter = CfnParameter(
            self,
            IMAGE_PARAMETER,
            type="String",
            default=home.image,
            allowed_pattern="^ami-([0-9a-f]{8}|[0-9a-f]{17})$",
            constraint_description="must be an image's id, such as ami-0123456789abcdef0",
            description="The node's machine image; an update keeps it, and federate replace changes it",
        )
        return parameter.value_as_string

    def _role(self, home: Node, storage: Storage) -> iam.CfnRole:
        permissions = (
            *node_permissions(home, storage.bucket.attr_arn).items(),
            ("kms", key_permissions(home, storage.key.attr_arn)),
        )
        return iam.CfnRole(
            self,
            "Role",
            role_name=home.role_name,
            description=f"What the node of {home.id} may do in its own account",
            assume_role_policy_document=policy(
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ),
            policies=[
                iam.CfnRole.PolicyProperty(policy_name=service, policy_document=policy(*statements))
                for service, statements in permissions
            ],
        )

    def _spot(self) -> ec2.CfnInstance.LaunchTemplateSpecificationProperty:
        """Ask for spot capacity; only a launch template can.

        The request is for one time: a persistent one would start the node again after the stack was deleted.
        """
        template = ec2.CfnLaunchTemplate(
            self,
            "Spot",
            launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
                instance_market_options=ec2.CfnLaunchTemplate.InstanceMarketOptionsProperty(
                    market_type="spot",
                    spot_options=ec2.CfnLaunchTemplate.SpotOptionsProperty(
                        spot_instance_type="one-time", instance_interruption_behavior="terminate"
                    ),
                )
            ),
            # The tags that never change, and not those of the federation's file: other tags are another template, and
            # CloudFormation replaces the instance of another template.
            tag_specifications=[
                ec2.CfnLaunchTemplate.LaunchTemplateTagSpecificationProperty(
                    resource_type="launch-template",
                    tags=[CfnTag(key=key, value=value) for key, value in sorted(self.own_tags.items())],
                )
            ],
        )
        return ec2.CfnInstance.LaunchTemplateSpecificationProperty(
            launch_template_id=template.ref, version=template.attr_latest_version_number
        )


def _identity(home: Node, storage: Storage) -> dict[str, str]:
    """Return what the node knows of itself for life; everything else it fetches at each start."""
    facts = {
        "federation": home.federation,
        "node": home.id,
        "role": home.role,
        "region": home.region,
        "bucket": storage.bucket.ref,
        "parameter_prefix": home.parameter_prefix,
        "secret_prefix": home.secret_prefix,
        "log_group": home.log_group,
    }
    return facts | ({"bucket_prefix": home.bucket_prefix} if home.bucket_prefix else {})

"""``AWS::EC2::VPCPeeringConnection``: requested here, accepted with the role that the other account offers.

Source: "AWS::EC2::VPCPeeringConnection" in the AWS CloudFormation Template Reference, and "Walkthrough: Peer with a VPC
in another account" in the AWS CloudFormation User Guide.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.iam_policy import allows, trusts
from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, names, pick
from infra.local.aws.resources.ec2_tags import tag

_ACCEPT = "ec2:AcceptVpcPeeringConnection"


class VpcPeeringConnection(Handler):
    """A peering connection, stable once it is active."""

    type = "AWS::EC2::VPCPeeringConnection"
    schema = Schema(
        create_only=names("VpcId PeerVpcId PeerOwnerId PeerRegion PeerRoleArn"),
        required=names("VpcId PeerVpcId"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Request the peering and have it accepted; deleted again if it is not."""
        ec2 = call.service("ec2")
        owner = str(properties.get("PeerOwnerId", call.account))
        region = properties.get("PeerRegion", call.region)
        if owner != call.account:
            self._check_role(call, properties, owner, region)
        asked = pick(properties, "VpcId", "PeerVpcId", "PeerRegion")
        peering = ec2.create_vpc_peering_connection(**asked, PeerOwnerId=owner)["VpcPeeringConnection"][
            "VpcPeeringConnectionId"
        ]
        call.begun(peering)
        status = self._status(ec2, peering)
        if status["Code"] == "failed":
            raise ResourceFailure(
                f"VpcPeeringConnection {peering} failed to stabilize. {status['Message']}", code="NotStabilized"
            )
        call.other_account("ec2", owner, region).accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
        tag(call, peering, properties)
        return Made(peering, {"Id": peering})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change tags."""
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the peering; one that never became active is gone by itself."""
        ec2 = call.service("ec2")
        if self._status(ec2, physical_id)["Code"] in ("active", "pending-acceptance"):
            ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=physical_id)

    @staticmethod
    def _status(ec2: Any, peering: str) -> dict[str, str]:
        found = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering])["VpcPeeringConnections"]
        status: dict[str, str] = found[0]["Status"] if found else {"Code": "deleted"}
        return status

    @staticmethod
    def _check_role(call: Call, properties: Properties, owner: str, region: str) -> None:
        """Refuse a peering that the other account has not authorised.

        Raises:
            ResourceFailure: there is no role, it does not trust this account, or it may not accept this peering.
        """
        me = f"arn:aws:iam::{call.account}:root"
        arn = properties.get("PeerRoleArn")
        if not arn:
            # The text is quoted in aws/aws-cdk issue 17383.
            raise ResourceFailure(f"User {me} cannot accept peering: PeerRoleArn is missing", code="AccessDenied")
        refused = f"User: {me} is not authorized to perform: sts:AssumeRole on resource: {arn}"
        if arn.split(":")[4] != owner:
            raise ResourceFailure(refused, code="AccessDenied")
        iam = call.other_account("iam", owner)
        try:
            role = iam.get_role(RoleName=arn.rsplit("/", 1)[-1])["Role"]
        except ClientError as error:
            raise ResourceFailure(refused, code="AccessDenied") from error
        if role["Arn"] != arn or not trusts(
            role["AssumeRolePolicyDocument"], call.account, {"aws:PrincipalAccount": call.account}
        ):
            raise ResourceFailure(refused, code="AccessDenied")
        here = f"arn:aws:ec2:{region}:{owner}"
        context = {
            "ec2:AccepterVpc": f"{here}:vpc/{properties['PeerVpcId']}",
            "ec2:RequesterVpc": f"arn:aws:ec2:{call.region}:{call.account}:vpc/{properties['VpcId']}",
            "ec2:Region": region,
            "aws:RequestedRegion": region,
        }
        documents = _policies(iam, role["RoleName"])
        vpc = context["ec2:AccepterVpc"]
        if not (
            allows(documents, _ACCEPT, vpc, {"ec2:VpcID": properties["PeerVpcId"], "ec2:Region": region})
            and allows(documents, _ACCEPT, f"{here}:vpc-peering-connection/pcx-new", context)
        ):
            raise ResourceFailure(
                f"User: {arn} is not authorized to perform: {_ACCEPT} on resource: {vpc} because no identity-based "
                "policy allows the action",
                code="AccessDenied",
            )


def _policies(iam: Any, role: str) -> list[dict[str, Any]]:
    inline = iam.list_role_policies(RoleName=role)["PolicyNames"]
    found = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in inline]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        answer = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
        found.append(answer["PolicyVersion"]["Document"])
    return found


HANDLERS = (VpcPeeringConnection(),)

"""Security groups and their rules.

A peer account's group can be named as the source of an ingress rule. The destination of an egress rule cannot: the
resource type has no property for the group's owner ("AWS::EC2::SecurityGroupEgress", CloudFormation Reference).
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, integer, names, only
from infra.local.aws.resources.ec2_tags import tag

_COMMON = "IpProtocol FromPort ToPort CidrIp CidrIpv6 Description"
_INGRESS = f"{_COMMON} SourceSecurityGroupId SourceSecurityGroupOwnerId SourcePrefixListId"
_EGRESS = f"{_COMMON} DestinationSecurityGroupId DestinationPrefixListId"
_ANYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def permission(rule: Properties) -> dict[str, Any]:
    """Turn a template's rule, of either direction, into an IpPermission of the EC2 API."""
    wanted: dict[str, Any] = {"IpProtocol": str(rule["IpProtocol"])}
    for port in ("FromPort", "ToPort"):
        if port in rule:
            wanted[port] = integer(rule[port])
    told = {"Description": rule["Description"]} if "Description" in rule else {}
    if "CidrIp" in rule:
        wanted["IpRanges"] = [{"CidrIp": rule["CidrIp"], **told}]
    if "CidrIpv6" in rule:
        wanted["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **told}]
    for name in ("SourcePrefixListId", "DestinationPrefixListId"):
        if name in rule:
            wanted["PrefixListIds"] = [{"PrefixListId": rule[name], **told}]
    for name in ("SourceSecurityGroupId", "DestinationSecurityGroupId"):
        if name in rule:
            owner = rule.get("SourceSecurityGroupOwnerId")
            wanted["UserIdGroupPairs"] = [{"GroupId": rule[name], **({"UserId": str(owner)} if owner else {}), **told}]
    if not {"IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"} & set(wanted):
        raise ResourceFailure("Invalid value for a security group rule: it names neither a range, a list nor a group")
    return wanted


class SecurityGroup(Handler):
    """``AWS::EC2::SecurityGroup`` with embedded rules."""

    type = "AWS::EC2::SecurityGroup"
    schema = Schema(
        create_only=names("GroupName GroupDescription VpcId"),
        updatable=names("SecurityGroupIngress SecurityGroupEgress"),
        required=names("GroupDescription"),
        name="GroupName",
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the group. Egress rules given here replace the one to anywhere that a new group has."""
        ec2 = call.service("ec2")
        name = properties.get("GroupName") or call.generated_name(255)
        place = {"VpcId": properties["VpcId"]} if "VpcId" in properties else {}
        group = ec2.create_security_group(GroupName=name, Description=properties["GroupDescription"], **place)[
            "GroupId"
        ]
        call.begun(group)
        tag(call, group, properties)
        ingress, egress = _rules(properties)
        if ingress:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=ingress)
        if egress:
            ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[_ANYWHERE])
            ec2.authorize_security_group_egress(GroupId=group, IpPermissions=egress)
        return Made(group, {"GroupId": group, "Id": group, "VpcId": properties.get("VpcId", "")})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Take away rules that are not named any more, then add the new ones."""
        ec2 = call.service("ec2")
        before, after = _rules(old), _rules(new)
        for way, had, wanted in zip(("ingress", "egress"), before, after, strict=True):
            for rule in had:
                if rule not in wanted:
                    _ignoring(
                        "InvalidPermission.NotFound", getattr(ec2, f"revoke_security_group_{way}"), physical_id, rule
                    )
            for rule in wanted:
                if rule not in had:
                    _ignoring(
                        "InvalidPermission.Duplicate",
                        getattr(ec2, f"authorize_security_group_{way}"),
                        physical_id,
                        rule,
                    )
        if after[1] and not before[1]:
            _ignoring("InvalidPermission.NotFound", ec2.revoke_security_group_egress, physical_id, _ANYWHERE)
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the group; refused while an interface or another group's rule uses it."""
        call.service("ec2").delete_security_group(GroupId=physical_id)


def _rules(properties: Properties) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    both = []
    for name, known in (("SecurityGroupIngress", _INGRESS), ("SecurityGroupEgress", _EGRESS)):
        for rule in properties.get(name, []):
            only(rule, name, *known.split())
        both.append([permission(rule) for rule in properties.get(name, [])])
    return both[0], both[1]


def _ignoring(code: str, action: Any, group: str, rule: dict[str, Any]) -> None:
    try:
        action(GroupId=group, IpPermissions=[rule])
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise


class _Rule(Handler):
    way: str

    def create(self, call: Call, properties: Properties) -> Made:
        """Add the rule to its group."""
        ec2 = call.service("ec2")
        authorize = getattr(ec2, f"authorize_security_group_{self.way}")
        answer = authorize(GroupId=properties["GroupId"], IpPermissions=[permission(properties)])
        rule = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return Made(rule, {"Id": rule})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the description."""
        describe = getattr(call.service("ec2"), f"update_security_group_rule_descriptions_{self.way}")
        describe(GroupId=new["GroupId"], IpPermissions=[permission(new)])
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Take the rule away by its own id: it can be, even when the peering is gone and the rule stale."""
        revoke = getattr(call.service("ec2"), f"revoke_security_group_{self.way}")
        revoke(GroupId=properties["GroupId"], SecurityGroupRuleIds=[physical_id])


class SecurityGroupIngress(_Rule):
    """``AWS::EC2::SecurityGroupIngress``."""

    type = "AWS::EC2::SecurityGroupIngress"
    way = "ingress"
    schema = Schema(
        create_only=names(f"GroupId {_INGRESS}") - {"Description"},
        updatable=names("Description"),
        required=names("GroupId IpProtocol"),
    )


class SecurityGroupEgress(_Rule):
    """``AWS::EC2::SecurityGroupEgress``; its destination group is one of the same account."""

    type = "AWS::EC2::SecurityGroupEgress"
    way = "egress"
    schema = Schema(
        create_only=names(f"GroupId {_EGRESS}") - {"Description"},
        updatable=names("Description"),
        required=names("GroupId IpProtocol"),
    )


HANDLERS = (SecurityGroup(), SecurityGroupIngress(), SecurityGroupEgress())

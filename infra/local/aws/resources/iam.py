"""Roles, policies and instance profiles. What a role may do is recorded, and not enforced (``docs/local.md``)."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.resources.base import (
    Attributes,
    Call,
    Handler,
    Made,
    Properties,
    Schema,
    document,
    integer,
    names,
    only,
    pick,
)


class Role(Handler):
    """``AWS::IAM::Role``."""

    type = "AWS::IAM::Role"
    capability = True
    schema = Schema(
        create_only=names("RoleName Path"),
        updatable=names(
            "AssumeRolePolicyDocument Description ManagedPolicyArns Policies MaxSessionDuration PermissionsBoundary"
        ),
        required=names("AssumeRolePolicyDocument"),
        name="RoleName",
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the role with its policies."""
        iam = call.service("iam")
        asked = pick(properties, "Path", "Description", "PermissionsBoundary", "Tags")
        if "MaxSessionDuration" in properties:
            asked["MaxSessionDuration"] = integer(properties["MaxSessionDuration"])
        name = properties.get("RoleName") or call.generated_name(64)
        trust = document(properties["AssumeRolePolicyDocument"])
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, **asked)["Role"]
        call.begun(name)
        for arn in properties.get("ManagedPolicyArns", []):
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        _put_inline(iam, name, properties)
        return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change trust, policies, description and tags."""
        iam = call.service("iam")
        if old.get("MaxSessionDuration") != new.get("MaxSessionDuration"):
            raise ResourceFailure(
                "An update of MaxSessionDuration is not implemented on loopback AWS", code="NotUpdatable"
            )
        if old.get("PermissionsBoundary") != new.get("PermissionsBoundary"):
            _bound(iam, physical_id, new.get("PermissionsBoundary"))
        trust = document(new["AssumeRolePolicyDocument"])
        if trust != document(old["AssumeRolePolicyDocument"]):
            iam.update_assume_role_policy(RoleName=physical_id, PolicyDocument=trust)
        if new.get("Description") != old.get("Description"):
            iam.update_role(RoleName=physical_id, Description=new.get("Description", ""))
        had, wanted = set(old.get("ManagedPolicyArns", [])), set(new.get("ManagedPolicyArns", []))
        for arn in sorted(had - wanted):
            iam.detach_role_policy(RoleName=physical_id, PolicyArn=arn)
        for arn in sorted(wanted - had):
            iam.attach_role_policy(RoleName=physical_id, PolicyArn=arn)
        kept = {policy["PolicyName"] for policy in new.get("Policies", [])}
        for policy in old.get("Policies", []):
            if policy["PolicyName"] not in kept:
                _drop_inline(iam, physical_id, policy["PolicyName"])
        _put_inline(iam, physical_id, new)
        _retag(iam, "role", "RoleName", physical_id, old, new)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the role with its own policies; refused while an instance profile holds it."""
        iam = call.service("iam")
        for arn in properties.get("ManagedPolicyArns", []):
            _ignoring_missing(iam.detach_role_policy, RoleName=physical_id, PolicyArn=arn)
        for policy in properties.get("Policies", []):
            _drop_inline(iam, physical_id, policy["PolicyName"])
        iam.delete_role(RoleName=physical_id)


def _bound(iam: Any, role: str, boundary: str | None) -> None:
    if boundary is None:
        iam.delete_role_permissions_boundary(RoleName=role)
    else:
        iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=boundary)


def _put_inline(iam: Any, role: str, properties: Properties) -> None:
    for policy in properties.get("Policies", []):
        only(policy, "Policies", "PolicyName", "PolicyDocument")
        text = document(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=text)


def _drop_inline(iam: Any, role: str, name: str) -> None:
    _ignoring_missing(iam.delete_role_policy, RoleName=role, PolicyName=name)


def _ignoring_missing(action: Any, **arguments: str) -> None:
    try:
        action(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise


def _retag(iam: Any, kind: str, key: str, name: str, old: Properties, new: Properties) -> None:
    wanted = {tag["Key"] for tag in new.get("Tags", [])}
    gone = [tag["Key"] for tag in old.get("Tags", []) if tag["Key"] not in wanted]
    if gone:
        getattr(iam, f"untag_{kind}")(**{key: name}, TagKeys=gone)
    if new.get("Tags"):
        getattr(iam, f"tag_{kind}")(**{key: name}, Tags=new["Tags"])


class Policy(Handler):
    """``AWS::IAM::Policy``: an inline policy of roles."""

    type = "AWS::IAM::Policy"
    capability = True
    schema = Schema(
        updatable=names("PolicyName PolicyDocument Roles"), required=names("PolicyName PolicyDocument Roles")
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Put the policy into its roles."""
        name = call.generated_name(64)
        self._put(call, properties)
        return Made(name, {"Id": name})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Put the new policy, and take the old one from roles or a name that it leaves."""
        self._put(call, new)
        for role in old["Roles"]:
            if role not in new["Roles"] or old["PolicyName"] != new["PolicyName"]:
                _drop_inline(call.service("iam"), role, old["PolicyName"])
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Take the policy from its roles."""
        for role in properties["Roles"]:
            _drop_inline(call.service("iam"), role, properties["PolicyName"])

    @staticmethod
    def _put(call: Call, properties: Properties) -> None:
        text = document(properties["PolicyDocument"])
        for role in properties["Roles"]:
            call.service("iam").put_role_policy(RoleName=role, PolicyName=properties["PolicyName"], PolicyDocument=text)


class ManagedPolicy(Handler):
    """``AWS::IAM::ManagedPolicy``."""

    type = "AWS::IAM::ManagedPolicy"
    capability = True
    schema = Schema(
        create_only=names("ManagedPolicyName Path Description"),
        updatable=names("PolicyDocument Roles"),
        required=names("PolicyDocument"),
        name="ManagedPolicyName",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the policy and attach it."""
        iam = call.service("iam")
        name = properties.get("ManagedPolicyName") or call.generated_name(128)
        text = document(properties["PolicyDocument"])
        asked = pick(properties, "Path", "Description")
        arn = iam.create_policy(PolicyName=name, PolicyDocument=text, **asked)["Policy"]["Arn"]
        call.begun(arn)
        for role in properties.get("Roles", []):
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        return Made(arn, {"PolicyArn": arn})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Make a new default version, and attach to other roles."""
        iam = call.service("iam")
        if old["PolicyDocument"] != new["PolicyDocument"]:
            text = document(new["PolicyDocument"])
            before = iam.get_policy(PolicyArn=physical_id)["Policy"]["DefaultVersionId"]
            iam.create_policy_version(PolicyArn=physical_id, PolicyDocument=text, SetAsDefault=True)
            iam.delete_policy_version(PolicyArn=physical_id, VersionId=before)
        had, wanted = set(old.get("Roles", [])), set(new.get("Roles", []))
        for role in sorted(had - wanted):
            _ignoring_missing(iam.detach_role_policy, RoleName=role, PolicyArn=physical_id)
        for role in sorted(wanted - had):
            iam.attach_role_policy(RoleName=role, PolicyArn=physical_id)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Detach and delete the policy."""
        iam = call.service("iam")
        for role in properties.get("Roles", []):
            _ignoring_missing(iam.detach_role_policy, RoleName=role, PolicyArn=physical_id)
        iam.delete_policy(PolicyArn=physical_id)


class InstanceProfile(Handler):
    """``AWS::IAM::InstanceProfile``."""

    type = "AWS::IAM::InstanceProfile"
    capability = True
    schema = Schema(
        create_only=names("InstanceProfileName Path"),
        updatable=names("Roles"),
        required=names("Roles"),
        name="InstanceProfileName",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the profile with its role."""
        iam = call.service("iam")
        name = properties.get("InstanceProfileName") or call.generated_name(128)
        made = iam.create_instance_profile(InstanceProfileName=name, **pick(properties, "Path"))["InstanceProfile"]
        call.begun(name)
        for role in properties["Roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        return Made(name, {"Arn": made["Arn"]})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the role."""
        iam = call.service("iam")
        for role in old["Roles"]:
            _ignoring_missing(iam.remove_role_from_instance_profile, InstanceProfileName=physical_id, RoleName=role)
        for role in new["Roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=physical_id, RoleName=role)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the profile."""
        iam = call.service("iam")
        for role in properties["Roles"]:
            _ignoring_missing(iam.remove_role_from_instance_profile, InstanceProfileName=physical_id, RoleName=role)
        iam.delete_instance_profile(InstanceProfileName=physical_id)


HANDLERS = (Role(), Policy(), ManagedPolicy(), InstanceProfile())

"""KMS keys and aliases."""

from __future__ import annotations

from infra.local.aws.resources.base import (
    Attributes,
    Call,
    Handler,
    Made,
    Properties,
    Schema,
    boolean,
    document,
    integer,
    names,
    pick,
)


class Key(Handler):
    """``AWS::KMS::Key``; a deleted key waits for its end, as on AWS."""

    type = "AWS::KMS::Key"
    schema = Schema(
        create_only=names("KeySpec KeyUsage"),
        updatable=names("KeyPolicy Description EnableKeyRotation PendingWindowInDays"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the key."""
        kms = call.service("kms")
        asked = pick(properties, "Description", "KeySpec", "KeyUsage")
        if "KeyPolicy" in properties:
            asked["Policy"] = document(properties["KeyPolicy"])
        tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.get("Tags", [])]
        made = kms.create_key(**asked, Tags=tags)["KeyMetadata"]
        call.begun(made["KeyId"])
        if boolean(properties.get("EnableKeyRotation", False)):
            kms.enable_key_rotation(KeyId=made["KeyId"])
        return Made(made["KeyId"], {"Arn": made["Arn"], "KeyId": made["KeyId"]})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change policy, description, rotation and tags."""
        kms = call.service("kms")
        if "KeyPolicy" in new:
            kms.put_key_policy(KeyId=physical_id, PolicyName="default", Policy=document(new["KeyPolicy"]))
        kms.update_key_description(KeyId=physical_id, Description=new.get("Description", ""))
        rotate = boolean(new.get("EnableKeyRotation", False))
        (kms.enable_key_rotation if rotate else kms.disable_key_rotation)(KeyId=physical_id)
        if gone := [tag["Key"] for tag in old.get("Tags", []) if tag not in new.get("Tags", [])]:
            kms.untag_resource(KeyId=physical_id, TagKeys=gone)
        tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in new.get("Tags", [])]
        if tags:
            kms.tag_resource(KeyId=physical_id, Tags=tags)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Schedule the key's end."""
        days = integer(properties.get("PendingWindowInDays", 30))
        call.service("kms").schedule_key_deletion(KeyId=physical_id, PendingWindowInDays=days)


class Alias(Handler):
    """``AWS::KMS::Alias``."""

    type = "AWS::KMS::Alias"
    schema = Schema(
        create_only=names("AliasName"),
        updatable=names("TargetKeyId"),
        required=names("AliasName TargetKeyId"),
        name="AliasName",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the alias."""
        call.service("kms").create_alias(**pick(properties, "AliasName", "TargetKeyId"))
        return Made(properties["AliasName"])

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Point it at another key."""
        call.service("kms").update_alias(AliasName=physical_id, TargetKeyId=new["TargetKeyId"])
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the alias."""
        call.service("kms").delete_alias(AliasName=physical_id)


HANDLERS = (Key(), Alias())

"""``AWS::Logs::LogGroup``."""

from __future__ import annotations

from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, integer, names, pick


class LogGroup(Handler):
    """A log group."""

    type = "AWS::Logs::LogGroup"
    schema = Schema(
        create_only=names("LogGroupName"),
        updatable=names("RetentionInDays KmsKeyId"),
        name="LogGroupName",
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the log group; refused where its name is taken."""
        logs = call.service("logs")
        name = properties.get("LogGroupName") or call.generated_name(255)
        key = {"kmsKeyId": properties["KmsKeyId"]} if "KmsKeyId" in properties else {}
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        logs.create_log_group(logGroupName=name, **key, **({"tags": tags} if tags else {}))
        call.begun(name)
        self._retention(call, name, properties)
        return Made(name, self._attributes(call, name))

    def find(self, call: Call, name: str) -> Made | None:
        """Return the log group of this name."""
        pages = call.service("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        if any(group["logGroupName"] == name for page in pages for group in page["logGroups"]):
            return Made(name, self._attributes(call, name))
        return None

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change retention, key and tags."""
        logs = call.service("logs")
        self._retention(call, physical_id, new)
        if old.get("KmsKeyId") != new.get("KmsKeyId"):
            if "KmsKeyId" in new:
                logs.associate_kms_key(logGroupName=physical_id, kmsKeyId=new["KmsKeyId"])
            else:
                logs.disassociate_kms_key(logGroupName=physical_id)
        had, wanted = ({tag["Key"]: tag["Value"] for tag in version.get("Tags", [])} for version in (old, new))
        arn = f"arn:aws:logs:{call.region}:{call.account}:log-group:{physical_id}"
        if gone := sorted(set(had) - set(wanted)):
            logs.untag_resource(resourceArn=arn, tagKeys=gone)
        if wanted != had and wanted:
            logs.tag_resource(resourceArn=arn, tags=wanted)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the log group with its logs."""
        call.service("logs").delete_log_group(logGroupName=physical_id)

    @staticmethod
    def _attributes(call: Call, name: str) -> Attributes:
        return {"Arn": f"arn:aws:logs:{call.region}:{call.account}:log-group:{name}:*"}

    @staticmethod
    def _retention(call: Call, name: str, properties: Properties) -> None:
        logs = call.service("logs")
        if pick(properties, "RetentionInDays"):
            logs.put_retention_policy(logGroupName=name, retentionInDays=integer(properties["RetentionInDays"]))
        else:
            logs.delete_retention_policy(logGroupName=name)


HANDLERS = (LogGroup(),)

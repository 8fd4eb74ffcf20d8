"""Buckets and their policies."""

from __future__ import annotations

import re
from typing import Any

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
    only,
)

#: In moto, buckets are kept by partition and not by Region.
_PARTITION = "aws"


class Bucket(Handler):
    """``AWS::S3::Bucket``. A bucket with objects in it cannot be deleted."""

    type = "AWS::S3::Bucket"
    schema = Schema(
        create_only=names("BucketName"),
        updatable=names(
            "AccessControl BucketEncryption VersioningConfiguration PublicAccessBlockConfiguration OwnershipControls "
            "LifecycleConfiguration LoggingConfiguration"
        ),
        name="BucketName",
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make and configure the bucket."""
        s3 = call.service("s3")
        name = properties.get("BucketName") or call.generated_name(63, lower=True)
        # S3 wants no location constraint for us-east-1.
        place = {} if call.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": call.region}}
        s3.create_bucket(Bucket=name, **place)
        call.begun(name)
        _configure(s3, name, {}, properties)
        _tag_as_cloudformation(call, name)
        return Made(name, _attributes(call, name))

    def find(self, call: Call, name: str) -> Made | None:
        """Return the account's bucket of this name."""
        if any(bucket["Name"] == name for bucket in call.service("s3").list_buckets()["Buckets"]):
            return Made(name, _attributes(call, name))
        return None

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Configure the bucket anew."""
        _configure(call.service("s3"), physical_id, old, new)
        _tag_as_cloudformation(call, physical_id)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the bucket; refused while it is not empty."""
        call.service("s3").delete_bucket(Bucket=physical_id)


def _attributes(call: Call, name: str) -> Attributes:
    return {
        "Arn": f"arn:aws:s3:::{name}",
        "DomainName": f"{name}.s3.amazonaws.com",
        "RegionalDomainName": f"{name}.s3.{call.region}.amazonaws.com",
    }


def _configure(s3: Any, bucket: str, old: Properties, new: Properties) -> None:
    if old.get("BucketEncryption") != new.get("BucketEncryption"):
        if "BucketEncryption" in new:
            s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=_encryption(new))
        else:
            s3.delete_bucket_encryption(Bucket=bucket)
    if old.get("VersioningConfiguration") != new.get("VersioningConfiguration"):
        wanted = new.get("VersioningConfiguration", {"Status": "Suspended"})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=wanted)
    if old.get("PublicAccessBlockConfiguration") != new.get("PublicAccessBlockConfiguration"):
        wanted = {key: boolean(value) for key, value in new.get("PublicAccessBlockConfiguration", {}).items()}
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=wanted)
    if old.get("OwnershipControls") != new.get("OwnershipControls"):
        if "OwnershipControls" in new:
            s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=new["OwnershipControls"])
        else:
            s3.delete_bucket_ownership_controls(Bucket=bucket)
    if old.get("AccessControl") != new.get("AccessControl"):
        # The template says AwsExecRead where the API says aws-exec-read.
        words = re.sub(r"(?<!^)(?=[A-Z])", "-", new.get("AccessControl", "Private"))
        s3.put_bucket_acl(Bucket=bucket, ACL=words.lower())
    if old.get("LifecycleConfiguration") != new.get("LifecycleConfiguration"):
        if "LifecycleConfiguration" in new:
            s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=_lifecycle(new))
        else:
            s3.delete_bucket_lifecycle(Bucket=bucket)
    if old.get("LoggingConfiguration") != new.get("LoggingConfiguration"):
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=_logging(bucket, new))
    if old.get("Tags") != new.get("Tags"):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": new.get("Tags", [])})


def _tag_as_cloudformation(call: Call, bucket: str) -> None:
    """Add the tags ``aws:…``, which nobody can set through the API."""
    from moto.s3.models import s3_backends

    backend: Any = s3_backends[call.account][_PARTITION]
    tags = [{"Key": key, "Value": value} for key, value in call.own_tags.items()]
    backend.tagger.tag_resource(backend.get_bucket(bucket).arn, tags)


def _encryption(properties: Properties) -> dict[str, Any]:
    rules = []
    for rule in properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]:
        only(rule, "BucketEncryption", "ServerSideEncryptionByDefault", "BucketKeyEnabled")
        made = {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
        if "BucketKeyEnabled" in rule:
            made["BucketKeyEnabled"] = boolean(rule["BucketKeyEnabled"])
        rules.append(made)
    return {"Rules": rules}


def _logging(bucket: str, properties: Properties) -> dict[str, Any]:
    """Return where the access log goes, in the API's words."""
    wanted = properties.get("LoggingConfiguration")
    if wanted is None:
        return {}
    only(wanted, "LoggingConfiguration", "DestinationBucketName", "LogFilePrefix")
    place = {
        "TargetBucket": wanted.get("DestinationBucketName", bucket),
        "TargetPrefix": wanted.get("LogFilePrefix", ""),
    }
    return {"LoggingEnabled": place}


def _lifecycle(properties: Properties) -> dict[str, Any]:
    rules = []
    for rule in properties["LifecycleConfiguration"]["Rules"]:
        known = (
            "Id",
            "Status",
            "Prefix",
            "ExpirationInDays",
            "NoncurrentVersionExpiration",
            "AbortIncompleteMultipartUpload",
        )
        only(rule, "LifecycleConfiguration/Rules", *known)
        made: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
        if "Id" in rule:
            made["ID"] = rule["Id"]
        if "ExpirationInDays" in rule:
            made["Expiration"] = {"Days": integer(rule["ExpirationInDays"])}
        for name in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
            if name in rule:
                made[name] = {key: integer(value) for key, value in rule[name].items()}
        rules.append(made)
    return {"Rules": rules}


class BucketPolicy(Handler):
    """``AWS::S3::BucketPolicy``."""

    type = "AWS::S3::BucketPolicy"
    schema = Schema(
        create_only=names("Bucket"), updatable=names("PolicyDocument"), required=names("Bucket PolicyDocument")
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Put the policy."""
        self._put(call, properties)
        return Made(properties["Bucket"])

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Put the new policy."""
        self._put(call, new)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the policy."""
        call.service("s3").delete_bucket_policy(Bucket=physical_id)

    @staticmethod
    def _put(call: Call, properties: Properties) -> None:
        call.service("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=document(properties["PolicyDocument"]))


HANDLERS = (Bucket(), BucketPolicy())

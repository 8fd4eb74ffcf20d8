"""Emptying a bucket that the federation says may be deleted; one that is to be retained is never touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from infra.accounts import Accounts
from stacks.plan import StackPlan

_BUCKET = "AWS::S3::Bucket"


def empty_buckets(stack: StackPlan, accounts: Accounts) -> None:
    """Delete every version of every object in the stack's buckets, except in buckets that outlive the stack.

    Their access logs are switched off first: what is done to one bucket would fill another again.
    """
    cloudformation = accounts.client("cloudformation", profile=stack.profile, region=stack.region)
    try:
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack.name)
        resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    except ClientError as error:
        if "does not exist" in str(error):
            return
        raise
    s3 = accounts.client("s3", profile=stack.profile, region=stack.region)
    buckets = [
        resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == _BUCKET
        and resource.get("PhysicalResourceId")
        and resource["ResourceStatus"] != "DELETE_COMPLETE"
        and resource["LogicalResourceId"] not in stack.retained
    ]
    for act in (_stop_logging, _empty):
        for bucket in buckets:
            _unless_gone(act, s3, bucket)


def _unless_gone(act: Callable[[Any, str], None], s3: Any, bucket: str) -> None:
    try:
        act(s3, bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchBucket":
            raise


def _stop_logging(s3: Any, bucket: str) -> None:
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})


def _empty(s3: Any, bucket: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
        if objects:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})

"""What the other services still have: stacks, buckets, keys, logs, roles, parameters and secrets of the federation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra.deployment.audit.mark import Found, Mark, tags_of
from node_bootstrap.measures import DIMENSIONS


def stacks(cloudformation: Any, mark: Mark) -> Iterator[Found]:
    """Yield stacks that bear the federation's name, those of nodes that have left its file included."""
    for page in cloudformation.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            if mark.is_stack(stack["StackName"]):
                is_going = stack["StackStatus"] == "DELETE_IN_PROGRESS"
                yield Found("stack", stack["StackName"], tags_of(stack.get("Tags", ())), is_going)


def buckets(s3: Any, mark: Mark) -> Iterator[Found]:
    """Yield buckets by name or tag."""
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        if not name.startswith(f"{mark.federation}-"):
            continue
        tags = _bucket_tags(s3, name)
        if not mark.is_anothers(tags) and (mark.is_bucket(name) or mark.is_tagged(tags)):
            is_log = tags.get("aws:cloudformation:logical-id") == "AccessLog"
            yield Found("access-log bucket" if is_log else "bucket", name, tags)


def _bucket_tags(s3: Any, name: str) -> dict[str, str]:
    try:
        return tags_of(s3.get_bucket_tagging(Bucket=name)["TagSet"])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchTagSet", "NoSuchBucket"):
            return {}
        raise


def log_groups(logs: Any, mark: Mark) -> Iterator[Found]:
    """Yield log groups under the federation's prefix."""
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/federate/{mark.federation}/"):
        for group in page["logGroups"]:
            yield Found("log group", group["logGroupName"], made_as=mark.maker_of(group["logGroupName"]))


def keys(kms: Any, mark: Mark) -> Iterator[Found]:
    """Yield the keys that are tagged as the federation's; one that is being deleted has a day on which it ends.

    A key whose tags we may not read is another's: a key of ours lets its account read them.
    """
    for page in kms.get_paginator("list_keys").paginate():
        for key in page["Keys"]:
            tags = _key_tags(kms, key["KeyId"])
            if mark.is_anothers(tags) or not mark.is_tagged(tags):
                continue
            told = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
            ends = told["DeletionDate"].date().isoformat() if told["KeyState"] == "PendingDeletion" else ""
            yield Found("KMS key", told["Arn"], tags, made_as=(tags.get("federate:node", ""), "Key"), ends=ends)


def _key_tags(kms: Any, key: str) -> dict[str, str]:
    try:
        pages = kms.get_paginator("list_resource_tags").paginate(KeyId=key)
        return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("AccessDeniedException", "NotFoundException"):
            return {}
        raise


def identities(iam: Any, mark: Mark) -> Iterator[Found]:
    """Yield roles and instance profiles.

    The role ``federate-a-b-c`` may be of the federation ``a`` or of ``a-b``: its tags decide.
    """
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            name = role["RoleName"]
            if not name.startswith(f"federate-{mark.federation}-"):
                continue
            tags = tags_of(iam.list_role_tags(RoleName=name)["Tags"])
            if not mark.is_anothers(tags):
                yield Found("role", name, tags)
    for page in iam.get_paginator("list_instance_profiles").paginate():
        for profile in page["InstanceProfiles"]:
            if mark.is_stack(profile["InstanceProfileName"]):
                yield Found("instance profile", profile["InstanceProfileName"])


def parameters(ssm: Any, mark: Mark) -> Iterator[Found]:
    """Yield parameters under the federation's path; their values are not read."""
    below = [{"Key": "Path", "Option": "Recursive", "Values": [f"/federate/{mark.federation}"]}]
    for page in ssm.get_paginator("describe_parameters").paginate(ParameterFilters=below):
        for parameter in page["Parameters"]:
            yield Found("parameter", parameter["Name"])


def secrets(secretsmanager: Any, mark: Mark) -> Iterator[Found]:
    """Yield secrets under the federation's prefix; their values are not read."""
    prefix = f"federate/{mark.federation}/"
    for page in secretsmanager.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [prefix]}]):
        for secret in page["SecretList"]:
            if secret["Name"].startswith(prefix):
                yield Found("secret", secret["Name"])


def watches(cloudwatch: Any, mark: Mark) -> Iterator[Found]:
    """Yield alarms and dashboards.

    An alarm ``federate-a-b-failed`` may be of the federation ``a`` or of ``a-b``: its tags decide; of a dashboard,
    whose metrics it shows.
    """
    prefix = f"federate-{mark.federation}-"
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix):
        for alarm in page["MetricAlarms"]:
            tags = tags_of(cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"])
            if not mark.is_anothers(tags):
                yield Found("alarm", alarm["AlarmName"], tags)
    for page in cloudwatch.get_paginator("list_dashboards").paginate(DashboardNamePrefix=prefix):
        for dashboard in page["DashboardEntries"]:
            name = dashboard["DashboardName"]
            if (
                f'"{DIMENSIONS[0]}","{mark.federation}"'
                in cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
            ):
                yield Found("dashboard", name)


def topics(sns: Any, mark: Mark) -> Iterator[Found]:
    """Yield topics by name and tag."""
    for page in sns.get_paginator("list_topics").paginate():
        for topic in page["Topics"]:
            arn = topic["TopicArn"]
            if not arn.rpartition(":")[2].startswith(f"federate-{mark.federation}-"):
                continue
            tags = tags_of(sns.list_tags_for_resource(ResourceArn=arn)["Tags"])
            if not mark.is_anothers(tags):
                yield Found("topic", arn, tags)

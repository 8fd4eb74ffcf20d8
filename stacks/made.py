"""What CloudFormation does for the stacks, service by service: the lists that the documents for people share.

Nothing here imports CDK.
"""

from __future__ import annotations

from typing import Final

from stacks.permissions import Statement, allow

STACKS: Final = (
    "ContinueUpdateRollback CreateChangeSet DeleteChangeSet DeleteStack Describe* ExecuteChangeSet GetTemplate "
    "ListStackResources RollbackStack"
)
ROLES: Final = (
    "CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy GetRole GetRolePolicy "
    "ListAttachedRolePolicies ListRolePolicies PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole "
    "UpdateAssumeRolePolicy UpdateRole"
)
#: Those by which a role could get past its boundary.
BOUNDED: Final = frozenset(
    {"CreateRole", "DeleteRolePermissionsBoundary", "PutRolePermissionsBoundary", "PutRolePolicy"}
)
PROFILES: Final = (
    "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
    "RemoveRoleFromInstanceProfile"
)
BUCKETS: Final = (
    "CreateBucket DeleteBucket DeleteBucketPolicy GetBucket* GetEncryptionConfiguration GetLifecycleConfiguration "
    "PutBucketLogging PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock "
    "PutBucketTagging PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration"
)
#: An access log is switched off first: what is done to one bucket would fill another.
EMPTIED_BUCKETS: Final = "DeleteObject DeleteObjectVersion ListBucket ListBucketVersions PutBucketLogging"
LOGS: Final = (
    "CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DisassociateKmsKey ListTagsForResource "
    "PutRetentionPolicy TagResource UntagResource"
)
#: As many characters of a stack's name are in the name of its bucket, role or profile whatever is cut.
NAME_KEPT: Final = 24
#: That it is CloudFormation that asks, in the name of whoever deploys.
BY_CLOUDFORMATION: Final[Statement] = {"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}}


def allow_each(
    sid: str, service: str, names: str, resources: list[str], condition: Statement | None = None
) -> Statement:
    """Return one Allow statement of a service's actions, which are named without the service."""
    return allow(sid, [f"{service}:{name}" for name in names.split()], resources, condition)


def but(names: str, without: frozenset[str]) -> str:
    """Return a list without some of its names."""
    return " ".join(name for name in names.split() if name not in without)

"""What an account brings of its own, its bucket and key, as their owner keeps them; only he changes anything there.

That a bucket or key is not there at all is found by other checks (``bucket``, ``key``), and here no matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from infra.errors import Problem, Severity
from infra.federation.derive import Node
from infra.preflight.check import Check, Visit, code_of
from infra.preflight.statements import Statement, lacking, names_service, statements_of
from stacks.resource_policies import own_bucket_statements, own_key_statements

_NO_BUCKET = ("NoSuchBucket", "404")
#: What each setting of a bucket's public access block is called by the API.
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_AWSS_OWN = "alias/aws/s3"
_IN_OTHER_WORDS = "Where the policy says the same in other words, nothing is to be done."


def bucket_policy(visit: Visit) -> Iterator[Problem]:
    """Find buckets whose policy does not refuse what that of a bucket of Federate's making would."""
    for node, name in _buckets(visit):
        found = _asked(visit, name, "get_bucket_policy", "NoSuchBucketPolicy", {"Policy": "{}"})
        if found is None:
            continue
        missing = lacking(own_bucket_statements(node), statements_of(json.loads(found["Policy"])))
        if missing:
            is_open = any(one["Sid"] == "DataIsReadByTheNodeAlone" for one in missing)
            yield visit.problem(
                f"the policy of the bucket {name} does not refuse what it is to: {_sids(missing)}."
                + (f" Whoever may read objects by IAM in the account reads the data of {node.id}." if is_open else ""),
                _IN_OTHER_WORDS,
                f"Its owner adds the statements that federate permissions {node.id} --for bucket prints.",
                Severity.WARNING,
            )


def bucket_versions(visit: Visit) -> Iterator[Problem]:
    """Find buckets that keep no old versions."""
    for _, name in _buckets(visit):
        found = _asked(visit, name, "get_bucket_versioning")
        if found is None:
            continue
        status = found.get("Status")
        if status != "Enabled":
            yield visit.problem(
                f"versioning of the bucket {name} {'is suspended' if status else 'was never switched on'}.",
                "Enabled: what is deleted or written over there cannot be had back otherwise.",
                f"aws s3api put-bucket-versioning --bucket {name} --versioning-configuration Status=Enabled "
                f"{visit.cli}",
                Severity.WARNING,
            )


def public_access(visit: Visit) -> Iterator[Problem]:
    """Find buckets that do not block public access themselves."""
    nothing: Mapping[str, Any] = {"PublicAccessBlockConfiguration": {}}
    for _, name in _buckets(visit):
        found = _asked(visit, name, "get_public_access_block", "NoSuchPublicAccessBlockConfiguration", nothing)
        if found is None:
            continue
        off = [each for each in _BLOCKS if not found["PublicAccessBlockConfiguration"].get(each)]
        if off:
            settings = ",".join(f"{each}=true" for each in _BLOCKS)
            yield visit.problem(
                f"the bucket {name} does not block public access: {', '.join(off)} not set.",
                "All four; where the whole account blocks public access, this one is blocked as well.",
                f"aws s3api put-public-access-block --bucket {name} --public-access-block-configuration {settings} "
                f"{visit.cli}",
                Severity.WARNING,
            )


def encryption(visit: Visit) -> Iterator[Problem]:
    """Find buckets whose objects are encrypted by another key than the one that the federation names."""
    by_s3 = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    for node, name in _buckets(visit):
        found = _asked(
            visit,
            name,
            "get_bucket_encryption",
            "ServerSideEncryptionConfigurationNotFoundError",
            {"ServerSideEncryptionConfiguration": by_s3},
        )
        if found is None:
            continue
        rules = found["ServerSideEncryptionConfiguration"]["Rules"]
        told = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        key, named = told.get("KMSMasterKeyID", ""), node.spec.kms_key
        is_awss = not str(told.get("SSEAlgorithm", "")).startswith("aws:kms") or not key or key.endswith(_AWSS_OWN)
        if is_awss and named is not None:
            yield visit.problem(
                f"the bucket {name} encrypts new objects by a key of AWS's, not by kms_key of {node.id}.",
                f"{named}, as the bucket's default.",
                _set_key(visit, name, named),
                Severity.WARNING,
            )
        elif not is_awss and (named is None or not _is_same(visit, key, named)):
            of_block = f"kms_key of {node.id} is {named}" if named else f"{node.id} names no kms_key"
            yield visit.problem(
                f"the bucket {name} encrypts objects by the key {key}, and {of_block}: the node could not read them.",
                "Both alike: a node may use the key that its block names, and no other.",
                "Write the key's ARN as kms_key into the block"
                + (f"; or {_set_key(visit, name, named)}" if named else "."),
            )


def key_policy(visit: Visit) -> Iterator[Problem]:
    """Find keys whose policy does not let happen what a node needs."""
    for node in visit.nodes:
        key = node.spec.kms_key
        if key is None:
            continue
        try:
            told = visit.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"]
        except ClientError as error:
            if code_of(error) != "NotFoundException":
                raise
            continue
        found = statements_of(json.loads(told))
        missing = lacking(own_key_statements(node), found)
        if not missing:
            continue
        # A service's own use of the key has no other way than this policy: where it names none, it is certain.
        is_certain = _lacks_logs(missing) and not names_service(found, f"logs.{visit.region}.amazonaws.com")
        yield visit.problem(
            f"the policy of the key {key} does not let happen what {node.id} needs: {_sids(missing)}."
            + (" It names CloudWatch Logs nowhere, so that no log group can be made." if is_certain else ""),
            "" if is_certain else _IN_OTHER_WORDS,
            f"Its owner adds the statements that federate permissions {node.id} --for key prints.",
            Severity.ERROR if is_certain else Severity.WARNING,
        )


def _lacks_logs(missing: list[Statement]) -> bool:
    return any(one["Sid"] == "LogsOfThisNode" for one in missing)


def _buckets(visit: Visit) -> list[tuple[Node, str]]:
    return [(node, node.spec.bucket) for node in visit.nodes if node.spec.bucket]


def _names_buckets(visit: Visit) -> bool:
    return bool(_buckets(visit))


def _names_keys(visit: Visit) -> bool:
    return any(node.spec.kms_key for node in visit.nodes)


def _asked(
    visit: Visit, bucket: str, operation: str, absent: str = "", instead: Mapping[str, Any] | None = None
) -> Mapping[str, Any] | None:
    """Return what S3 says of a bucket; ``instead`` where it was never set, None where there is no bucket."""
    ask: Callable[..., Mapping[str, Any]] = getattr(visit.client("s3"), operation)
    try:
        return ask(Bucket=bucket, ExpectedBucketOwner=visit.account)
    except ClientError as error:
        code = code_of(error)
        if absent and code == absent:
            return instead
        if code in _NO_BUCKET:
            return None
        raise


def _is_same(visit: Visit, key: str, arn: str) -> bool:
    """Say whether a bucket's key, which may be written as id, ARN or alias, is the one of an ARN."""
    if "alias/" in key:
        return str(visit.client("kms").describe_key(KeyId=key)["KeyMetadata"]["Arn"]) == arn
    return key in (arn, arn.rpartition("/")[2])


def _set_key(visit: Visit, bucket: str, key: str) -> str:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    made = json.dumps({"Rules": [rule | {"BucketKeyEnabled": True}]})
    return (
        f"aws s3api put-bucket-encryption --bucket {bucket} {visit.cli} --server-side-encryption-configuration '{made}'"
    )


def _sids(statements: list[Statement]) -> str:
    return ", ".join(str(one["Sid"]) for one in statements)


CHECKS = (
    Check(
        "bucket-policy",
        "Does the policy of a bucket that the federation names refuse what it is to?",
        ("s3:GetBucketPolicy",),
        bucket_policy,
        _names_buckets,
    ),
    Check(
        "bucket-versions",
        "Does a bucket that the federation names keep old versions?",
        ("s3:GetBucketVersioning",),
        bucket_versions,
        _names_buckets,
    ),
    Check(
        "bucket-public",
        "Does a bucket that the federation names block public access?",
        ("s3:GetBucketPublicAccessBlock",),
        public_access,
        _names_buckets,
    ),
    Check(
        "bucket-encryption",
        "Does a bucket that the federation names encrypt by the key that it names?",
        ("s3:GetEncryptionConfiguration", "kms:DescribeKey"),
        encryption,
        _names_buckets,
    ),
    Check(
        "key-policy",
        "Does the policy of a key that the federation names let happen what the node needs?",
        ("kms:GetKeyPolicy",),
        key_policy,
        _names_keys,
    ),
)

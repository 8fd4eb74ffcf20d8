"""CloudFormation's and EC2's limits, held against the templates before anything is deployed.

Source: CloudFormation User Guide, "Understand CloudFormation quotas"; EC2 User Guide, "User data" (16 KB before it is
encoded); IAM User Guide, "IAM and AWS STS quotas" (10,240 characters of inline policies a role, white space not
counted); PrivateLink Guide, "Quotas" (20,480 characters an endpoint policy); S3 User Guide (20 KB a bucket policy).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from infra.errors import FederateError
from infra.federation.model import Federation

#: Bytes of a template that is sent along with the request: without a bootstrap stack there is no bucket to put it into.
SENT_ALONG: Final = 51_200
#: Bytes of a template in a bucket.
IN_A_BUCKET: Final = 1_000_000
#: Of each in one template.
MOST: Final = {"Resources": 500, "Parameters": 200, "Outputs": 200, "Mappings": 200}
USER_DATA: Final = 16_384
INLINE_POLICIES: Final = 10_240
ENDPOINT_POLICY: Final = 20_480
BUCKET_POLICY: Final = 20_480
#: What a reference is taken for: no name or ARN that our templates refer to is longer.
_REFERENCE: Final = "x" * 128


class TooLarge(FederateError):
    """A template, or something in it, is larger than AWS takes; carries every case."""

    exit_code = 2


def check(federation: Federation, folder: Path) -> None:
    """Check every template of a synthesised federation.

    Raises:
        TooLarge: with everything that is too large.
    """
    found = [
        f"{file.name.removesuffix('.template.json')}: {problem}"
        for file in sorted(folder.glob("*.template.json"))
        for problem in problems(file.read_text("utf-8"), in_a_bucket=federation.synthesizer == "default")
    ]
    if found:
        raise TooLarge(
            "The federation does not fit into AWS's limits:\n" + "\n".join(found), remedy=_remedy(federation)
        )


def problems(template: str, *, in_a_bucket: bool) -> Iterator[str]:
    """Yield what is too large in one template.

    Args:
        template: the template as it is deployed.
        in_a_bucket: whether it is deployed by way of a bootstrap stack's bucket.
    """
    size, most = len(template.encode()), IN_A_BUCKET if in_a_bucket else SENT_ALONG
    if size > most:
        yield f"the template has {size:,} bytes; {most:,} are the most."
    document: dict[str, Any] = json.loads(template)
    for section, limit in MOST.items():
        if (count := len(document.get(section, {}))) > limit:
            yield f"{count} {section.lower()} in the template; {limit} are the most."
    for logical_id, resource in document.get("Resources", {}).items():
        for what, length, limit in _lengths(resource):
            if length > limit:
                yield f"{logical_id}: {what} has {length:,} characters; {limit:,} are the most."


def _lengths(resource: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yield what of a resource has a limit: (what, its length, the limit)."""
    kind, properties = resource["Type"], resource.get("Properties", {})
    if kind == "AWS::EC2::Instance" and "UserData" in properties:
        yield "the user data", len(_text(properties["UserData"]["Fn::Base64"])), USER_DATA
    elif kind == "AWS::IAM::Role":
        inline = sum(_policy(policy["PolicyDocument"]) for policy in properties.get("Policies", []))
        yield "the role's inline policies", inline, INLINE_POLICIES
    elif kind == "AWS::EC2::VPCEndpoint" and "PolicyDocument" in properties:
        yield "the endpoint's policy", _policy(properties["PolicyDocument"]), ENDPOINT_POLICY
    elif kind == "AWS::S3::BucketPolicy":
        yield "the bucket's policy", _policy(properties["PolicyDocument"]), BUCKET_POLICY


def _policy(document: Any) -> int:
    return len(json.dumps(_filled(document), separators=(",", ":")))


def _filled(value: Any) -> Any:
    """Return a document with its references taken for the longest that they may become."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
            return _text(value)
        return {key: _filled(part) for key, part in value.items()}
    return [_filled(part) for part in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(_text(part) for part in parts)
    return _REFERENCE


def _remedy(federation: Federation) -> str:
    if federation.synthesizer == "legacy":
        return (
            "Larger templates need a bucket: set synthesizer: default, with CDK's bootstrap stack in each account "
            "(cdk bootstrap). Or split the sites among federations."
        )
    return "Split the sites among federations, or have fewer tags."

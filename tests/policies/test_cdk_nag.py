"""AwsSolutions, HIPAA.Security and NIST 800-53 R5 find nothing that is not acknowledged; and nothing is, in vain."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cdk_nag
import pytest
from policy_table import Tell
from variants import CANARY, VARIANTS, buckets

from stacks.acknowledged import ACKNOWLEDGED, Acknowledged, Found, matching

#: Pack → its source in cdk-nag's own archive.
PACKS = {
    "AwsSolutions": "aws-solutions",
    "HIPAA.Security": "hipaa-security",
    "NIST.800.53.R5": "nist-800-53-r5",
}


def found_by(report: dict[str, list[dict[str, Any]]], pack: str) -> Iterator[Found]:
    """Yield a pack's findings, one for each construct."""
    for violation in report[pack]:
        rule, _, detail = violation["ruleName"].partition("[")
        for construct in violation["violatingConstructs"]:
            stack, _, path = construct["constructPath"].partition("/")
            yield Found(stack=stack, construct=path, rule=rule, detail=detail.removesuffix("]"))


def _sorted_out(scanned: Any, pack: str, among: tuple[Acknowledged, ...] = ACKNOWLEDGED) -> tuple[list[str], set[Any]]:
    """Return findings that nothing acknowledges, over all variants, and the parts of entries that matched."""
    open_: list[str] = []
    used = set()
    for variant in VARIANTS:
        plan = scanned.plan(variant)
        stacks = {stack.id: stack for stack in plan.stacks}
        existing = buckets(VARIANTS[variant]())
        for found in found_by(scanned.report(variant), pack):
            stack = stacks[found.stack]
            bucket = existing.get(stack.node, "")
            match = matching(found, stack=stack, federation=plan.federation, among=among, bucket=bucket)
            if match is None:
                open_.append(f"{variant}: {found}")
            else:
                used.add(match[1])
    return open_, used


def _rules_of(pack: str) -> int:
    """Count the rules of a pack: cdk-nag does not tell, so its own source is asked."""
    (archive,) = (Path(cdk_nag.__file__).parent / "_jsii").glob("*.tgz")
    with tarfile.open(archive) as files:
        source = files.extractfile(f"package/lib/packs/{PACKS[pack]}.js")
        assert source
        return len(re.findall(r"\.applyRule\(", source.read().decode()))


@pytest.mark.parametrize("pack", PACKS)
def test_a_pack_finds_nothing_that_is_not_acknowledged(scanned: Any, tell: Tell, pack: str) -> None:
    open_, _ = _sorted_out(scanned, pack)
    remedy = "correct the stack, or say in stacks/acknowledged.py why it is meant"
    assert not open_, "\n".join([*open_, remedy])
    total = sum(len(list(found_by(scanned.report(variant), pack))) for variant in VARIANTS)
    over = f"{len(VARIANTS)} federations"
    templates = len(scanned.templates)
    tell(pack, over=over, templates=templates, rules=_rules_of(pack), findings=total, acknowledged=total)


def test_every_acknowledgement_acknowledges_something(scanned: Any) -> None:
    used = {part for pack in PACKS for part in _sorted_out(scanned, pack)[1]}
    stale = [" ".join(part) for entry in ACKNOWLEDGED for part in entry.parts() if part not in used]
    assert not stale, "\n".join([*stale, "no scanner finds these any more: take them from stacks/acknowledged.py"])


def test_an_acknowledgement_that_is_stale_would_be_found(scanned: Any) -> None:
    stale = Acknowledged(rules=("AwsSolutions-EC23",), where=("SiteNetwork/NodeSecurityGroup",), reason="Once, it was.")
    used = {part for pack in PACKS for part in _sorted_out(scanned, pack, (*ACKNOWLEDGED, stale))[1]}
    assert [part for part in stale.parts() if part not in used] == list(stale.parts())


def test_without_acknowledgements_every_pack_has_something_to_say(scanned: Any) -> None:
    assert all(_sorted_out(scanned, pack, ())[0] for pack in PACKS)


@pytest.mark.parametrize(
    ("pack", "construct", "rule"),
    [
        ("AwsSolutions", "PlantedGroup", "AwsSolutions-EC23"),
        ("AwsSolutions", "PlantedBucket", "AwsSolutions-S10"),
        ("AwsSolutions", "PlantedPolicy", "AwsSolutions-IAM5"),
        ("HIPAA.Security", "PlantedGroup", "HIPAA.Security-EC2RestrictedSSH"),
        ("HIPAA.Security", "PlantedBucket", "HIPAA.Security-S3BucketPublicReadProhibited"),
        ("HIPAA.Security", "PlantedPolicy", "HIPAA.Security-IAMPolicyNoStatementsWithAdminAccess"),
        ("NIST.800.53.R5", "PlantedGroup", "NIST.800.53.R5-EC2RestrictedSSH"),
        ("NIST.800.53.R5", "PlantedBucket", "NIST.800.53.R5-S3BucketPublicReadProhibited"),
        ("NIST.800.53.R5", "PlantedPolicy", "NIST.800.53.R5-IAMPolicyNoStatementsWithAdminAccess"),
    ],
)
def test_canary_a_pack_fires_on_a_planted_defect_that_nothing_acknowledges(
    scanned: Any, pack: str, construct: str, rule: str
) -> None:
    plan = scanned.plan(CANARY)
    stacks = {stack.id: stack for stack in plan.stacks}
    fired = [f for f in found_by(scanned.report(CANARY), pack) if (f.construct, f.rule) == (construct, rule)]
    assert fired
    for found in fired:
        assert matching(found, stack=stacks[found.stack], federation=plan.federation, among=ACKNOWLEDGED) is None


def test_an_acknowledged_wildcard_acknowledges_no_wider_one(scanned: Any) -> None:
    plan = scanned.plan("example")
    stack = next(stack for stack in plan.stacks if stack.id == "SiteNode-hospital-a")
    own = "Resource::arn:aws:ssm:us-east-1:111111111111:parameter/federate/eicu/hospital-a/*"
    for detail, is_meant in ((own, True), (own.replace("hospital-a", "hospital-b"), False), ("Action::s3:*", False)):
        found = Found(stack=stack.id, construct="Role", rule="AwsSolutions-IAM5", detail=detail)
        assert (matching(found, stack=stack, federation="eicu", among=ACKNOWLEDGED) is not None) is is_meant

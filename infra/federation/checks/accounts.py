"""Who is who: accounts, profiles and ids."""

from __future__ import annotations

from infra.errors import Severity
from infra.federation.checks.blocks import Block, blocks
from infra.federation.derive import AGGREGATOR_ID
from infra.federation.finding import Finding
from infra.federation.model import NO_PROFILE, Federation


def check(federation: Federation) -> list[Finding]:
    """Check that everybody has an id and an account of their own."""
    all_blocks = blocks(federation)
    return [
        *_ids(all_blocks[1:]),
        *_accounts(federation, all_blocks),
        *_profiles(all_blocks),
        *_boundaries(all_blocks),
        *_qualifier(federation),
    ]


def _ids(sites: tuple[Block, ...]) -> list[Finding]:
    findings: list[Finding] = []
    first: dict[str, Block] = {}
    for site in sites:
        if site.node.id == AGGREGATOR_ID:
            findings.append(
                Finding(site.at("id"), f"{AGGREGATOR_ID} is the aggregator's own id.", "", "Give the site another id.")
            )
        if site.node.id in first:
            other = first[site.node.id].at("id")
            findings.append(
                Finding(
                    site.at("id"),
                    f"{site.node.id} is the id of another site as well (participants[{other[1]}]).",
                    "Each id once: stacks, roles and certificates carry it.",
                    "Give one of the two another id.",
                    concerns=(other,),
                )
            )
        first.setdefault(site.node.id, site)
    return findings


def _accounts(federation: Federation, all_blocks: tuple[Block, ...]) -> list[Finding]:
    accounts = {block.spec.account for block in all_blocks}
    if federation.single_account:
        if len(accounts) == 1:
            return []
        return [
            Finding(
                ("single_account",),
                f"is true, yet there are {len(accounts)} accounts.",
                "It is for trying out with one account; it takes away the check that every site has its own.",
                "Leave it out.",
                Severity.WARNING,
                tuple(block.at("account") for block in all_blocks),
            )
        ]
    findings: list[Finding] = []
    first: dict[str, Block] = {}
    for block in all_blocks:
        other = first.setdefault(block.spec.account, block)
        if other is not block:
            findings.append(
                Finding(
                    block.at("account"),
                    f"{block.spec.account} is the account of {other.node.id} as well.",
                    "Each site has an account of its own: the account is what keeps its data apart.",
                    "Give the site its own account, or set single_account: true to try out with one.",
                    concerns=(other.at("account"), ("single_account",)),
                )
            )
    return findings


def _profiles(all_blocks: tuple[Block, ...]) -> list[Finding]:
    findings: list[Finding] = []
    first: dict[str, Block] = {}
    for block in all_blocks:
        if not block.node.is_operated_here:
            if block.spec.profile != NO_PROFILE:
                findings.append(
                    Finding(
                        block.at("profile"),
                        f"{block.spec.profile} is never used: {block.node.id} is operated by its own site.",
                        "",
                        "Leave it out; or leave operated_by out, if you have credentials of this account.",
                        Severity.WARNING,
                        (block.at("operated_by"),),
                    )
                )
            continue
        if block.spec.profile == NO_PROFILE:
            findings.append(
                Finding(
                    block.at("profile"),
                    "is missing.",
                    "The AWS profile with credentials for this account.",
                    "If its own admin operates it and you have none: operated_by: site.",
                    concerns=(block.at("operated_by"),),
                )
            )
            continue
        other = first.setdefault(block.spec.profile, block)
        if other.spec.account != block.spec.account:
            findings.append(
                Finding(
                    block.at("profile"),
                    f"{block.spec.profile} is the profile of {other.node.id} as well, whose account is another.",
                    "A profile holds credentials of one account.",
                    "Name a profile for each account, unless no operator ever acts in both.",
                    Severity.WARNING,
                    (block.at("account"), other.at("account"), other.at("profile")),
                )
            )
    return findings


def _boundaries(all_blocks: tuple[Block, ...]) -> list[Finding]:
    """A role takes its boundary from its own account, or from AWS."""
    findings = []
    for block in all_blocks:
        arn = block.node.permissions_boundary
        owner = arn.split(":")[4] if arn else "aws"
        if owner not in ("aws", block.spec.account):
            findings.append(
                Finding(
                    block.at("permissions_boundary"),
                    f"the policy is of account {owner}.",
                    f"A managed policy of the block's own account, {block.spec.account}, or of AWS (…:aws:policy/…).",
                    "Write the policy's name alone: it is looked for in the block's account.",
                    concerns=(block.at("account"),),
                )
            )
    return findings


def _qualifier(federation: Federation) -> list[Finding]:
    if federation.bootstrap_qualifier is None or federation.synthesizer == "default":
        return []
    return [
        Finding(
            ("bootstrap_qualifier",),
            "there is no bootstrap stack to which it could belong: synthesizer is legacy.",
            "",
            "Set synthesizer: default, or leave it out.",
            concerns=(("synthesizer",),),
        )
    ]

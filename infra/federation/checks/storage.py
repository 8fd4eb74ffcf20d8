"""What a node keeps, where its account has a bucket or a key already."""

from __future__ import annotations

from infra.federation.checks.blocks import Block, blocks
from infra.federation.finding import Finding
from infra.federation.model import Federation


def check(federation: Federation) -> list[Finding]:
    """Check that named buckets and keys are the node's own and that prefixes stand where they mean something."""
    all_blocks = blocks(federation)
    return [
        *(finding for block in all_blocks for finding in (*_prefix(block), *_key(block))),
        *_shared(all_blocks),
    ]


def _prefix(block: Block) -> list[Finding]:
    if block.spec.bucket_prefix is None or block.spec.bucket is not None:
        return []
    return [
        Finding(
            block.at("bucket_prefix"),
            f"{block.spec.bucket_prefix} is a prefix in no bucket.",
            "A prefix is for an existing bucket: a bucket that is made is the node's alone.",
            "Name the bucket, or leave the prefix out.",
        )
    ]


def _key(block: Block) -> list[Finding]:
    if block.spec.kms_key is None:
        return []
    _, _, _, region, account, _ = block.spec.kms_key.split(":", 5)
    if (region, account) == (block.node.region, block.node.account):
        return []
    return [
        Finding(
            block.at("kms_key"),
            f"is a key of account {account} in {region}.",
            f"A key of the node's own account and Region: {block.node.account}, {block.node.region}.",
            "Whoever has the key can read what it encrypts, so it is the hospital's own.",
            concerns=(block.at("account"), block.at("region")),
        )
    ]


def _shared(all_blocks: tuple[Block, ...]) -> list[Finding]:
    """Find nodes that would write over each other's objects: one bucket, and one prefix within the other."""
    findings: list[Finding] = []
    named = [block for block in all_blocks if block.spec.bucket is not None]
    for position, block in enumerate(named):
        for other in named[:position]:
            mine, theirs = block.node.bucket_prefix, other.node.bucket_prefix
            is_within = mine.startswith(theirs) or theirs.startswith(mine)
            if block.spec.bucket == other.spec.bucket and is_within:
                findings.append(
                    Finding(
                        block.at("bucket"),
                        f"{block.spec.bucket} is the bucket of {other.node.id} as well, under the same prefix.",
                        "Each node has a bucket, or a prefix of a bucket, of its own.",
                        "Give each a bucket_prefix that is not within the other's.",
                        concerns=(other.at("bucket"), block.at("bucket_prefix"), other.at("bucket_prefix")),
                    )
                )
    return findings

"""Whether the accounts can be joined: Regions, zones and address ranges."""

from __future__ import annotations

from infra.errors import Severity
from infra.federation import catalog
from infra.federation.checks.blocks import Block, blocks
from infra.federation.cidr import DOCKER, free_range
from infra.federation.finding import Finding
from infra.federation.model import Federation
from infra.federation.source import Path
from infra.federation.words import did_you_mean


def check(federation: Federation) -> list[Finding]:
    """Check Regions, zones and ranges of all accounts."""
    all_blocks = blocks(federation)
    return [
        *_regions(federation, all_blocks),
        *_zones(all_blocks),
        *_overlaps(all_blocks),
        *_docker(all_blocks),
        *_nat(all_blocks),
    ]


def _region_path(block: Block) -> Path:
    return block.at("region") if block.spec.region else ("region",)


def _regions(federation: Federation, all_blocks: tuple[Block, ...]) -> list[Finding]:
    findings: list[Finding] = []
    named = {("region",): federation.region} | {
        block.at("region"): block.spec.region for block in all_blocks if block.spec.region
    }
    for path, region in named.items():
        if region not in catalog.regions():
            findings.append(
                Finding(
                    path,
                    f"{region} is no Region that was known in {catalog.date()}.",
                    "",
                    did_you_mean(region, catalog.regions()) or "Check its name if it is not a newer one.",
                    Severity.WARNING,
                )
            )
    hub = all_blocks[0]
    home = catalog.partition(hub.node.region)
    for block in all_blocks[1:]:
        if catalog.partition(block.node.region) != home:
            findings.append(
                Finding(
                    _region_path(block),
                    f"{block.node.region} is in another AWS partition than the aggregator ({hub.node.region}).",
                    f"Regions of the partition {home}: VPCs cannot be peered across partitions.",
                    concerns=(_region_path(hub),),
                )
            )
    return findings


def _zones(all_blocks: tuple[Block, ...]) -> list[Finding]:
    return [
        Finding(
            block.at("availability_zone"),
            f"{block.spec.availability_zone} is not in the node's Region, {block.node.region}.",
            "A zone of the node's Region.",
            f"Write {block.spec.availability_zone[-1]}, or set the Region.",
            concerns=(_region_path(block),),
        )
        for block in all_blocks
        if len(block.spec.availability_zone) > 1 and block.spec.availability_zone[:-1] != block.node.region
    ]


def _overlaps(all_blocks: tuple[Block, ...]) -> list[Finding]:
    findings: list[Finding] = []
    taken = [block.spec.cidr for block in all_blocks]
    for index, block in enumerate(all_blocks):
        others = [other for other in all_blocks[:index] if other.spec.cidr.overlaps(block.spec.cidr)]
        if not others:
            continue
        free = free_range(block.spec.cidr, taken)
        if free is not None:
            taken.append(free)
        findings.append(
            Finding(
                block.at("cidr"),
                f"{block.spec.cidr} overlaps {', '.join(f'{o.node.id} ({o.spec.cidr})' for o in others)}.",
                "Peered VPCs, and the aggregator's routes to them, need ranges that do not overlap.",
                f"Free here: {free}."
                if free
                else f"No private /{block.spec.cidr.prefixlen} is free: use smaller ones.",
                concerns=tuple(other.at("cidr") for other in others),
            )
        )
    return findings


def _docker(all_blocks: tuple[Block, ...]) -> list[Finding]:
    return [
        Finding(
            block.at("cidr"),
            f"{block.spec.cidr} overlaps {DOCKER}, which Docker and some AWS services use inside a machine.",
            "",
            f"Rather take {free_range(block.spec.cidr, [other.spec.cidr for other in all_blocks])}.",
            Severity.WARNING,
        )
        for block in all_blocks
        if block.spec.cidr.overlaps(DOCKER)
    ]


def _nat(all_blocks: tuple[Block, ...]) -> list[Finding]:
    return [
        Finding(
            block.at("cidr"),
            f"{block.spec.cidr} has no room for the NAT gateway's subnet beside the node's.",
            "With internet: nat, a range of /23 or larger.",
            "Take a larger range, or internet: none.",
            concerns=(block.at("internet"),),
        )
        for block in all_blocks
        if block.spec.internet == "nat" and block.node.public_subnet.overlaps(block.node.subnet)
    ]

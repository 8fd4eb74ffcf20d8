"""Whether the machines that are asked for exist and can do what they are asked to."""

from __future__ import annotations

from infra.errors import Severity
from infra.federation import catalog
from infra.federation.catalog import InstanceType
from infra.federation.checks.blocks import Block, blocks
from infra.federation.finding import Finding
from infra.federation.images import ROOT_GIB, slot_of
from infra.federation.model import Federation
from infra.federation.words import did_you_mean, listed


def check(federation: Federation) -> list[Finding]:
    """Check instance types, GPU mappings and machine images of all nodes."""
    findings: list[Finding] = []
    all_blocks = blocks(federation)
    for block in all_blocks:
        known = catalog.instance_types().get(block.spec.instance_type)
        findings += [_unknown_type(block)] if known is None else _gpus(block, known)
    return [
        *findings,
        *_images(federation, all_blocks),
        *_architectures(federation, all_blocks),
        *_volumes(federation, all_blocks),
    ]


def _unknown_type(block: Block) -> Finding:
    name, types = block.spec.instance_type, catalog.instance_types()
    family = name.split(".")[0]
    sizes = [known for known in types if known.startswith(f"{family}.")]
    allowed = f"{family} has {listed(sizes)}." if sizes else ""
    return Finding(
        block.at("instance_type"),
        f"{name or 'nothing'} is no instance type that was known in {catalog.date()}.",
        allowed or "An EC2 instance type, such as g4dn.xlarge (one GPU) or m6i.large (none).",
        did_you_mean(name, types),
    )


def _gpus(block: Block, type_: InstanceType) -> list[Finding]:
    mapping, path = block.spec.gpu_mapping, block.at("gpu_mapping")
    concerns = (block.at("instance_type"),)
    if mapping is None:
        return []
    if len(mapping) > type_.gpus:
        has = f"{type_.gpus} that CUDA can use ({type_.accelerator})" if type_.accelerator else "none"
        fitting = "[]" if not type_.gpus else f"at most {type_.gpus} number{'s' if type_.gpus > 1 else ''}"
        return [
            Finding(
                path,
                f"speaks of {len(mapping)} GPUs, but {type_.name} has {has}.",
                "One number for each GPU: the worker processes on it.",
                f"Write {fitting}, or choose another instance type.",
                concerns=concerns,
            )
        ]
    if sum(mapping) > 1:
        return [
            Finding(
                path,
                f"asks for {sum(mapping)} worker processes.",
                "One process in all: a node trains in one.",
                "Write 1 for the GPU to use and 0 for the ones before it.",
            )
        ]
    if type_.gpus and not any(mapping):
        return [
            Finding(
                path,
                f"leaves the {type_.accelerator} of {type_.name} idle: the node trains on the CPU.",
                "",
                "Leave it out to use GPU 0, or choose a type without a GPU.",
                Severity.NOTICE,
                concerns,
            )
        ]
    return []


def _images(federation: Federation, all_blocks: tuple[Block, ...]) -> list[Finding]:
    """Find the Regions that have nodes and no image; one finding each, at the first such node.

    Where a pipeline makes the images, none is there at first: deployment is what wants one.
    """
    lacking: dict[str, list[Block]] = {}
    for block in all_blocks:
        if not block.node.image:
            lacking.setdefault(block.node.region, []).append(block)
    return [
        Finding(
            lacking[region][0].path,
            f"there is no machine image for {listed(block.node.id for block in lacking[region])} in {region}.",
            f"Every node needs a pinned machine image, here of {_needed(federation, lacking[region])}.",
            f"Pin one: federate image lock; or add one under images, as {region}: ami-…, or as image: at the node."
            if region in catalog.regions()
            else did_you_mean(region, catalog.regions()),
            Severity.WARNING if federation.image_pipeline else Severity.ERROR,
            concerns=(
                ("region",),
                ("images", region),
                *(block.at(key) for block in lacking[region] for key in ("region", "image")),
            ),
            is_about_missing_image=True,
        )
        for region in lacking
    ]


def _needed(federation: Federation, lacking: list[Block]) -> str:
    found = (slot_of(federation, block.spec) for block in lacking)
    return listed(sorted({slot.name for slot in found if slot})) or "its architecture"


def _architectures(federation: Federation, all_blocks: tuple[Block, ...]) -> list[Finding]:
    """Find the images under ``images`` that nodes of different architectures would boot from."""
    findings = []
    for region, image in federation.images.items():
        using = [block for block in all_blocks if block.node.region == region and not block.spec.image]
        found = {slot.architecture: block for block in using if (slot := slot_of(federation, block.spec))}
        if len(found) > 1:
            whose = " and ".join(f"{block.node.id} ({name})" for name, block in sorted(found.items()))
            findings.append(
                Finding(
                    ("images", region),
                    f"{image} would serve {whose}.",
                    "An image is of one architecture.",
                    "Give the nodes of one of them an image: of their own, or pin both: federate image lock.",
                    concerns=tuple(block.at("instance_type") for block in found.values()),
                )
            )
    return findings


def _volumes(federation: Federation, all_blocks: tuple[Block, ...]) -> list[Finding]:
    """Find the root volumes that the pipeline's images do not fit on."""
    if federation.image_pipeline is None:
        return []
    return [
        Finding(
            block.at("volume_gib"),
            f"{block.spec.volume_gib} GiB is less than the pipeline's images have.",
            f"{ROOT_GIB} GiB or more.",
        )
        for block in all_blocks
        if block.spec.volume_gib < ROOT_GIB
    ]

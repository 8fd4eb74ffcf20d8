"""What AWS offered when this version was made: instance types with their GPUs, and Regions. No account is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One instance type.

    Args:
        arch: ``x86_64`` or ``arm64``.
        gpus: GPUs that CUDA sees; a part of a GPU counts as one.
        accelerator: what the accelerator is called, whether CUDA can use it or not; None where there is none.
    """

    name: str
    arch: str
    gpus: int
    accelerator: str | None


@cache
def _catalog() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(__package__).joinpath("catalog.json").read_text("utf-8"))
    return content


@cache
def instance_types() -> Mapping[str, InstanceType]:
    """Return all known instance types by name."""
    found = {}
    for family, entry in _catalog()["families"].items():
        sizes = entry["sizes"] if isinstance(entry["sizes"], dict) else dict.fromkeys(entry["sizes"], 0)
        for size, gpus in sizes.items():
            name = f"{family}.{size}"
            found[name] = InstanceType(name, entry["arch"], gpus, entry.get("gpu") or entry.get("accelerator"))
    return found


def regions() -> tuple[str, ...]:
    """Return all known Regions."""
    return tuple(_catalog()["regions"])


def date() -> str:
    """Return year and month of the catalogue."""
    return str(_catalog()["date"])


def partition(region: str) -> str:
    """Return the AWS partition of a Region; nothing can be peered across partitions."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov", "eusc": "aws-eusc"}.get(
        "us-gov" if region.startswith("us-gov-") else region.split("-")[0], "aws"
    )

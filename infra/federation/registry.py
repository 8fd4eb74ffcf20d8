"""The plug-ins that are installed here, by name. Only names: nothing is imported, so torch stays out."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

DATASETS = "federate.datasets"
MODELS = "federate.models"
AGGREGATIONS = "federate.aggregations"
GROUPS = (DATASETS, MODELS, AGGREGATIONS)

#: Group to the names that packages installed here give to it.
Installed = Mapping[str, tuple[str, ...]]


def installed() -> Installed:
    """Return the installed names of each group, sorted."""
    return {group: tuple(sorted({point.name for point in entry_points(group=group)})) for group in GROUPS}

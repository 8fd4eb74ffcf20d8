"""Which sites a ``federation.yaml`` has, and the eICU hospitals that it lists for them; no more is looked at."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from fl_app.eicu.errors import UnusableSplit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


def sites_of(path: Path) -> tuple[list[str], dict[str, list[int]]]:
    """Read ``participants[].id`` and ``participants[].data.hospitals``.

    Returns:
        The sites in the file's order, and the hospitals of those that list any.

    Raises:
        UnusableSplit: the file is missing, is not YAML, or says something else there.
    """
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        sites = [str(participant["id"]) for participant in document["participants"]]
        listed = {
            str(participant["id"]): [int(hospital) for hospital in participant["data"]["hospitals"]]
            for participant in document["participants"]
            if (participant.get("data") or {}).get("hospitals") is not None
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UnusableSplit(
            f"{path}: its sites cannot be read: {error!r}.",
            remedy="It needs participants with an id each, and hospitalids under data.hospitals; or use --sites.",
        ) from error
    if len(set(sites)) < len(sites) or not sites or not all(_NAME.fullmatch(site) for site in sites):
        raise UnusableSplit(
            f"{path}: its participants are {', '.join(sites) or 'none'}.",
            remedy="Each needs an id of its own, of letters, digits and hyphens: a folder is named after it.",
        )
    return sites, listed

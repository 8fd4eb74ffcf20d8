"""The lock file: which machine image a node gets that is made now, by Region, architecture and kind.

It lies beside the federation's file and is written by ``federate image lock`` alone. What the federation's file says
itself, under ``images`` or at a node, goes before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from infra.errors import InvalidFederation, Problem
from infra.federation import catalog
from infra.federation.model import Account, Federation

LOCK_FILE = "images.lock.json"
#: Root volume of the images that the pipeline makes, GiB; no node's can be smaller.
ROOT_GIB = 60
_VERSION = 1
_IMAGE = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")
_REMEDY = "Take an earlier one from your version control; or delete it, and federate image lock writes a new one."

Kind = Literal["gpu", "cpu"]
AnyAccount = TypeVar("AnyAccount", bound=Account)


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """What an image must fit: all nodes of one slot get the same one."""

    region: str
    architecture: str
    kind: Kind

    @property
    def name(self) -> str:
        """Architecture and kind, as the lock file has them: ``arm64/gpu``."""
        return f"{self.architecture}/{self.kind}"

    def __str__(self) -> str:
        """Render it for a person."""
        return f"{self.name} in {self.region}"


@dataclass(frozen=True, slots=True)
class LockedImage:
    """One image.

    Args:
        image: its id.
        name: its name.
        owner: the 12-digit account that made it.
        parent: id and name of the image that it was made from; ``unknown`` where EC2 does not say.
        federate: version of Federate that is on it; ``unknown`` where its tags do not say.
        created: when, as EC2 has it.
    """

    image: str
    name: str
    owner: str
    parent: str
    federate: str
    created: str


@dataclass(frozen=True, slots=True)
class Lock:
    """All locked images."""

    images: Mapping[Slot, LockedImage] = field(default_factory=dict)

    def changed(self, images: Mapping[Slot, LockedImage]) -> Lock:
        """Return the lock with some images changed."""
        return replace(self, images={**self.images, **images})

    def text(self) -> str:
        """Return what stands in the file."""
        regions: dict[str, dict[str, dict[str, str]]] = {}
        for slot in sorted(self.images):
            regions.setdefault(slot.region, {})[slot.name] = asdict(self.images[slot])
        return json.dumps({"version": _VERSION, "images": regions}, indent=2, ensure_ascii=False) + "\n"


def lock_file(federation_file: Path) -> Path:
    """Return the lock file of a federation's file."""
    return federation_file.with_name(LOCK_FILE)


def read_lock(path: Path) -> Lock:
    """Read a lock file; an empty lock where there is none.

    Raises:
        InvalidFederation: it cannot be read, or is not one.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Lock()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, f"cannot be read: {error}.") from None
    try:
        document = json.loads(text)
        if document["version"] != _VERSION:
            raise _wrong(path, f"has the version {document['version']}; this Federate reads version {_VERSION}.")
        return Lock(dict(_entries(document["images"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(path, f"is not a lock file: {error}.") from None


def with_locked(federation: Federation, lock: Lock) -> Federation:
    """Return the federation with an image at every node for which the lock has one and the file says nothing."""

    def filled(account: AnyAccount) -> AnyAccount:
        slot = slot_of(federation, account)
        if account.image or slot is None or slot.region in federation.images or slot not in lock.images:
            return account
        return account.model_copy(update={"image": lock.images[slot].image})

    return federation.model_copy(
        update={
            "aggregator": filled(federation.aggregator),
            "participants": tuple(filled(participant) for participant in federation.participants),
        }
    )


def slot_of(federation: Federation, account: Account) -> Slot | None:
    """Return what a node's image must fit; None where its instance type is not known."""
    type_ = catalog.instance_types().get(account.instance_type)
    if type_ is None:
        return None
    return Slot(account.region or federation.region, type_.arch, "gpu" if type_.gpus else "cpu")


def slots(federation: Federation) -> tuple[Slot, ...]:
    """Return what the images of all nodes must fit, each once, sorted."""
    accounts = (federation.aggregator, *federation.participants)
    return tuple(sorted({slot for account in accounts if (slot := slot_of(federation, account))}))


def _entries(regions: Mapping[str, Any]) -> Iterator[tuple[Slot, LockedImage]]:
    for region, by_name in regions.items():
        for name, entry in by_name.items():
            architecture, _, kind = name.partition("/")
            if architecture not in ("x86_64", "arm64") or kind not in ("gpu", "cpu"):
                raise ValueError(f"{name} is no architecture and kind, such as x86_64/gpu")
            given = {one.name: str(entry[one.name]) for one in fields(LockedImage)}
            if not _IMAGE.fullmatch(given["image"]):
                raise ValueError(f"{given['image']} is no image's id")
            yield Slot(region, architecture, "gpu" if kind == "gpu" else "cpu"), LockedImage(**given)


def _wrong(path: Path, found: str) -> InvalidFederation:
    return InvalidFederation([Problem(str(path), found, remedy=_REMEDY)])

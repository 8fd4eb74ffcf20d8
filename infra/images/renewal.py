"""What a renewal of the lock changes, told before it does: old and new, and for which nodes once made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from infra.federation.derive import nodes
from infra.federation.images import Lock, LockedImage, Slot, slot_of
from infra.federation.model import Federation


@dataclass(frozen=True, slots=True)
class Change:
    """One slot of the lock.

    Args:
        slot: which.
        old: what is locked now, if anything.
        new: what would be.
        nodes: the nodes that would get it when they are made anew.
    """

    slot: Slot
    old: LockedImage | None
    new: LockedImage
    nodes: tuple[str, ...]

    @property
    def is_one(self) -> bool:
        """Whether anything would be another."""
        return self.old != self.new

    def text(self) -> str:
        """Say it to a person, a line for each thing that would be another."""
        lines = [str(self.slot)]
        for one in fields(LockedImage):
            before, after = getattr(self.old, one.name, "none"), getattr(self.new, one.name)
            lines.append(f"  {one.name:9}{before} → {after}" if before != after else f"  {one.name:9}{after}")
        names = " ".join(self.nodes)
        for_whom = f"for {', '.join(self.nodes)} once made anew: federate replace {names}" if names else "for no node"
        return "\n".join([*lines, f"  {for_whom}"])

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        old = None if self.old is None else asdict(self.old)
        return {"region": self.slot.region, "slot": self.slot.name, "old": old, "new": asdict(self.new)} | {
            "nodes": list(self.nodes)
        }


def changes(federation: Federation, lock: Lock, images: Mapping[Slot, LockedImage]) -> tuple[Change, ...]:
    """Return what some images would change.

    Args:
        federation: as its file says, without what is locked now.
        lock: what is locked now.
        images: what is to be locked.
    """
    return tuple(
        Change(slot, lock.images.get(slot), image, served(federation, slot)) for slot, image in sorted(images.items())
    )


def served(federation: Federation, slot: Slot) -> tuple[str, ...]:
    """Return the nodes that take the locked image of a slot: those for which the file itself says none."""
    return tuple(node.id for node in nodes(federation) if node.image is None and slot_of(federation, node.spec) == slot)

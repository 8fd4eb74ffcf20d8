"""What all kinds of fault have in common, and the scene in which they act."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.fault import Fault
from infra.local.twin.faults.ground import Ground, Shaper

#: Reads one parameter from its text: (name, text) -> value.
Reader = Callable[[str, str], Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """The twin, its links, and every fault that is to be in force: the one that begins included, one that ends not."""

    ground: Ground
    links: Shaper
    active: Sequence[Fault]


class Kind(ABC):
    """A kind of fault.

    Attributes:
        name: what it is called.
        parameters: those that it takes, and how each is read; a list is given as one text per value.
        needs: the least depth at which it can be shown.
        lasts: whether it can be taken back; what does not last is an event.
        needs_power: whether it makes no sense on a node that is powered off.
        is_in_the_node: whether it is gone with the node, and can be taken back only while its instance runs.
        lifts: kinds of fault that are over on the node once this has happened.
    """

    name: ClassVar[str]
    parameters: ClassVar[Mapping[str, Reader]] = {}
    needs: ClassVar[str] = "processes"
    lasts: ClassVar[bool] = True
    needs_power: ClassVar[bool] = False
    is_in_the_node: ClassVar[bool] = False
    lifts: ClassVar[tuple[str, ...]] = ()

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as they are kept; all have been read, and some may be missing.

        Raises:
            FaultRefused: they do not go together, or not with the node.
        """
        del ground, node
        return dict(values)

    def key(self, parameters: Mapping[str, Any]) -> object:
        """Return what tells faults of this kind at one node apart; one with the same key replaces the one before."""
        del parameters
        return None

    def text(self, parameters: Mapping[str, Any]) -> str:
        """Return the parameters in words."""
        del parameters
        return ""

    def is_over(self, fault: Fault, ground: Ground) -> bool:
        """Say whether it has gone by itself."""
        del fault, ground
        return False

    @abstractmethod
    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        """Bring it about; may be called again. Return what is needed to take it back."""

    def revert(self, scene: Scene, fault: Fault) -> None:
        """Take it back; may be called again."""
        raise NotImplementedError(f"{self.name} cannot be taken back")


def one_of(*allowed: str) -> Reader:
    """Return a reader of words."""

    def read(name: str, text: str) -> str:
        if text not in allowed:
            raise FaultRefused(f"{name} is {text!r}.", remedy=f"Allowed: {', '.join(allowed)}.")
        return text

    return read


def some_text(_: str, text: str) -> str:
    """Read a text as it is; the kind checks it against the twin."""
    return text

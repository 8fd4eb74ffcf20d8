"""The account blocks of a federation with the place where each stands in the file."""

from __future__ import annotations

from dataclasses import dataclass

from infra.federation.derive import Node, nodes
from infra.federation.model import Aggregator, Federation, Participant
from infra.federation.source import Path


@dataclass(frozen=True, slots=True)
class Block:
    """The aggregator's or one participant's block."""

    node: Node
    path: Path

    @property
    def spec(self) -> Aggregator | Participant:
        """The block as it stands in the file."""
        return self.node.spec

    def at(self, *keys: str) -> Path:
        """Return the path of a key of the block."""
        return (*self.path, *keys)


def blocks(federation: Federation) -> tuple[Block, ...]:
    """Return the aggregator's block, then the participants' in the order of the file."""
    paths: list[Path] = [("aggregator",), *(("participants", index) for index in range(len(federation.participants)))]
    return tuple(Block(node, path) for node, path in zip(nodes(federation), paths, strict=True))

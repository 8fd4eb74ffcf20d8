"""Which sites are asked in a round. Pure: the same seed, round and sites give the same choice, on any machine.

Every site's place in the draw is a hash of the seed, the round and its name, so that the choice needs no state,
survives restarts, and one site more or less does not shuffle the others.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Method = Literal["all", "fraction", "data_size"]
_RESOLUTION = 2.0**64


@dataclass(frozen=True, slots=True)
class Selection:
    """How the sites of a round are chosen.

    Attributes:
        method: ``all``; ``fraction``: any site as likely as another; ``data_size``: in proportion to its samples.
        fraction: of the members, rounded up.
        seed: of the draw.
    """

    method: Method = "all"
    fraction: float = 1.0
    seed: int = 0

    def count(self, members: int) -> int:
        """Return how many of so many members are asked."""
        return members if self.method == "all" else max(1, math.ceil(self.fraction * members - 1e-9))

    def draw(self, round_: int, members: Sequence[str], samples: Mapping[str, int]) -> tuple[str, ...]:
        """Return the sites to ask, in the members' order.

        Args:
            round_: counted from 0.
            members: who may be asked.
            samples: site to training samples, of those that have said so. With ``data_size`` a site that has not is
                asked in any case: in the first round all of them are.

        Source: Efraimidis and Spirakis, Information Processing Letters 97 (2006): a weighted draw without
        replacement takes those with the smallest ``-ln(u) / weight``.
        """
        if self.method == "all":
            return tuple(members)
        count = self.count(len(members))
        unknown: set[str] = set()
        if self.method == "data_size":
            unknown = {site for site in members if not samples.get(site)}
        keys = {
            site: self._exponential(round_, site) / (samples[site] if self.method == "data_size" else 1)
            for site in members
            if site not in unknown
        }
        drawn = set(sorted(keys, key=lambda site: (keys[site], site))[: max(0, count - len(unknown))])
        return tuple(site for site in members if site in drawn or site in unknown)

    def _exponential(self, round_: int, site: str) -> float:
        digest = hashlib.sha256(f"{self.seed}/{round_}/{site}".encode()).digest()
        return -math.log((int.from_bytes(digest[:8], "big") + 0.5) / _RESOLUTION)

"""When a round has waited long enough. Pure: times are handed in.

The adaptive deadline learns from the rounds before: a few times what the slowest site usually takes. A site that was
there and did not make it counts as having taken twice the time that it was given, so a deadline that is too short for
a site grows until the site makes it; one that is gone or frozen for a while changes no median. One that misses many in
a row is not counted with until it answers in time again: a site that never answers does not hold up the others.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Literal

#: How many times what the slowest site usually takes.
_FACTOR = 3.0
_SHORTEST_SECONDS, _LONGEST_SECONDS = 5.0, 3600.0
_REMEMBERED = 5
#: Misses in a row, in which a limit grows by a factor of 36 and more.
_MOST_MISSES = 8

Setting = float | Literal["adaptive"] | None


class Deadline:
    """How long a round may take, for the sites that are asked.

    Args:
        setting: seconds; ``adaptive``; or None: a round waits for all that were asked.
        known: site to seconds of its last answers, as :meth:`known` returned them before a restart.
    """

    def __init__(self, setting: Setting, known: Mapping[str, Sequence[float]] | None = None) -> None:
        self._setting = setting
        self._took: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._misses: Counter[str] = Counter()
        for site, seconds in (known or {}).items():
            self._took[site].extend(seconds)

    def seconds(self, asked: Iterable[str]) -> float | None:
        """Return the limit of a round, or None: there is none, or nothing is known yet of the sites that are asked."""
        if self._setting != "adaptive":
            return self._setting
        counted = [site for site in asked if self._took.get(site) and self._misses[site] < _MOST_MISSES]
        usual = [median(self._took[site]) for site in counted]
        return min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, _FACTOR * max(usual))) if usual else None

    def answered(self, site: str, seconds: float) -> None:
        """Learn how long a site took from the task to its answer."""
        self._took[site].append(round(seconds, 3))
        self._misses[site] = 0

    def missed(self, site: str, seconds: float) -> None:
        """Learn that a site was there for so long and had not answered when the round closed."""
        self._took[site].append(round(2 * seconds, 3))
        self._misses[site] += 1

    def known(self) -> dict[str, list[float]]:
        """Return what has been learned, for the checkpoint."""
        return {site: list(took) for site, took in sorted(self._took.items()) if took}

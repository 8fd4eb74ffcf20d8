"""FedML's number of each site, given once and to nobody else afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fl_app.errors import StateError
from fl_app.rounds.files import write_json

_FILE = "ranks.json"


class Ranks:
    """Site to FedML's rank, from 1, in a file of the state folder.

    Updates are aggregated in the order of ranks, so a site that joins is the last one, wherever the roster names it,
    and one that comes back has the rank that it had.
    """

    def __init__(self, folder: Path) -> None:
        """Read the file.

        Raises:
            StateError: it is damaged.
        """
        self._path = folder / _FILE
        self._ranks: dict[str, int] = {}
        try:
            found = json.loads(self._path.read_text("utf-8"))
            self._ranks = {str(site): int(rank) for site, rank in dict(found).items()}
            if sorted(self._ranks.values()) != list(range(1, len(self._ranks) + 1)):
                raise ValueError("the ranks are not 1, 2, 3 and so on")
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            raise StateError(
                f"{self._path} cannot be used: {error}.",
                remedy="Delete it together with the checkpoints beside it to begin a new run.",
            ) from None

    def admit(self, sites: Sequence[str]) -> tuple[str, ...]:
        """Give a rank to each site that has none; return these sites in the order of ranks.

        Raises:
            StateError: the file cannot be written.
        """
        new = [site for site in sites if site not in self._ranks]
        for site in new:
            self._ranks[site] = len(self._ranks) + 1
        if new:
            write_json(self._path, self._ranks)
        return tuple(sorted(sites, key=self._ranks.__getitem__))

    def of(self, site: str) -> int:
        """Return a site's rank."""
        return self._ranks[site]

    def site(self, rank: int) -> str:
        """Return the site of a rank."""
        return next(site for site, own in self._ranks.items() if own == rank)

    def __len__(self) -> int:
        """Return how many ranks were ever given."""
        return len(self._ranks)

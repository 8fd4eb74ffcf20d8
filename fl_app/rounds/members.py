"""The sites that take part: those on the roster, which may change while the run goes on, less the expelled ones."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from fl_app.config import CONFIG_FILE, read_config
from fl_app.errors import ConfigError
from fl_app.rounds.ranks import Ranks

_log = logging.getLogger(__name__)


class RosterFile:
    """The roster in the aggregator's run files, which may be replaced while the run goes on."""

    def __init__(self, folder: Path) -> None:
        """Watch the run files in a folder."""
        self._folder = folder
        self._seen = self._signature()

    def look(self) -> tuple[str, ...] | None:
        """Return the roster if the file has changed since the last look, and can be read; None otherwise.

        Other settings of the file take effect at the next start.
        """
        signature = self._signature()
        if signature == self._seen or signature is None:  # the folder may be on its way
            return None
        try:
            roster = read_config(self._folder).roster
        except ConfigError as error:
            _log.warning("the run files have changed and cannot be used; the roster stays as it is: %s", error)
            self._seen = signature
            return None
        self._seen = signature
        return roster

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = (self._folder / CONFIG_FILE).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


@dataclass(frozen=True, slots=True)
class Change:
    """What a look at the roster has found: sites that were not on it before, and sites that are not on it any more."""

    new: frozenset[str]
    gone: frozenset[str]

    def __str__(self) -> str:
        return ", ".join([*(f"+{site}" for site in sorted(self.new)), *(f"-{site}" for site in sorted(self.gone))])


class Members:
    """The roster as it is now, in the order of ranks.

    Who is on it when the run begins takes part, and is waited for. Who is added later takes part once its process has
    reported: a site that is deployed and not started yet keeps nobody waiting.
    """

    def __init__(
        self, roster: Iterable[str], ranks: Ranks, file: RosterFile, *, before: Collection[str] | None = None
    ) -> None:
        """Begin with a roster.

        Args:
            roster: of the run files that the process was started with.
            ranks: gives each site its place.
            file: looked at for another roster.
            before: who took part before a restart, or was expelled; None for a new run.
        """
        self._ranks, self._file = ranks, file
        self.roster = ranks.admit(tuple(roster))
        self._expected = set() if before is None else set(self.roster) - set(before)

    def now(self, expelled: Collection[str]) -> tuple[str, ...]:
        """Return who takes part, in the order in which updates are aggregated."""
        return tuple(site for site in self.roster if site not in expelled and site not in self._expected)

    def arrived(self, site: str) -> bool:
        """Note that a site's process has reported; say whether it takes part from now on and did not before."""
        is_new = site in self._expected
        self._expected.discard(site)
        return is_new

    def look(self) -> Change | None:
        """Look at the file; if the roster is another one, take it over and return what has changed; None otherwise."""
        found = self._file.look()
        if found is None or set(found) == set(self.roster):
            return None
        change = Change(new=frozenset(found) - set(self.roster), gone=frozenset(self.roster) - set(found))
        _log.info("the roster has changed: %s", change)
        self.roster = self._ranks.admit(found)
        self._expected = (self._expected | change.new) - change.gone
        return change

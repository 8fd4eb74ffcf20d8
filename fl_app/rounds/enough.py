"""Whether there are enough sites for the aggregation: a new run of too few is refused, one under way is held."""

from __future__ import annotations

import logging

from fl_app.errors import PluginError
from fl_app.learning.aggregator import RosterAggregator
from fl_app.rounds.book import RoundBook

_log = logging.getLogger(__name__)


class Enough:
    """Asks the aggregation whenever there are other members.

    Attributes:
        missing: why no round may close now; empty if there are enough.
    """

    def __init__(self, aggregator: RosterAggregator) -> None:
        self._aggregator = aggregator
        self.missing = ""

    def at_first(self, book: RoundBook, *, is_new: bool) -> None:
        """Look when the process begins.

        Raises:
            PluginError: the run is new, and too small.
        """
        try:
            self._ask(book)
        except PluginError as error:
            if is_new:
                raise
            self._hold(error)

    def again(self, book: RoundBook) -> bool:
        """Look when the members have changed; say whether there are enough again.

        What was learned so far is not to be lost because a site is gone: the next one may be on its way.
        """
        was_held = bool(self.missing)
        try:
            self._ask(book)
        except PluginError as error:
            self._hold(error)
            return False
        self.missing = ""
        return was_held

    def _hold(self, error: PluginError) -> None:
        self.missing = f"held until there are more sites: {error.args[0]}"
        _log.warning("%s", self.missing)

    def _ask(self, book: RoundBook) -> None:
        sites = len(book.members)
        asked = book.rules.selection.count(sites)
        self._aggregator.prepare(sites, min(book.rules.quorum or asked, asked))

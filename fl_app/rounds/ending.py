"""How a run ends at the aggregator: done, stopped until it is started again, or cancelled for good.

- done: the results are written, the sites are told and say good-bye.
- stopped: the round that is under way is finished, if that does not take long, and made durable; the sites are told,
  and wait for the aggregator to come back.
- cancelled: the sites are told, and the run's checkpoints are deleted.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from fl_app.config import RunConfig
from fl_app.errors import Cancelled, Stopped
from fl_app.rounds.checkpoint import Checkpoints
from fl_app.rounds.records import Record
from fl_app.rounds.results import Results
from fl_app.tracking import Tracker
from fl_app.transport.hub_manager import HubManager
from fl_app.transport.queue_manager import LOCAL_FAREWELL, LOCAL_STOP_NOW

if TYPE_CHECKING:
    from fl_app.rounds.course import Course

_log = logging.getLogger(__name__)

#: How long the aggregator waits for the sites' good-bye after the last round; longer if it has to be found again.
_FAREWELL_SECONDS = 10.0
_FAREWELL_AGAIN_SECONDS = 60.0
#: And this much for a site that took part to the end and whose link may be down: longer than keepalive needs to tell.
_LONGER_SECONDS = 20.0
#: How long a round may take to its end when the process is asked to stop; less than what a service manager gives it.
_LAST_ROUND_SECONDS = 8.0
_FLUSH_SECONDS = 2.0


class Ending:
    """The end of one run's course."""

    def __init__(
        self,
        course: Course,
        config: RunConfig,
        *,
        results: Results,
        checkpoints: Checkpoints,
        wire: HubManager,
        tracker: Tracker,
    ) -> None:
        self._config = config
        self._course, self._results, self._checkpoints = course, results, checkpoints
        self._wire, self._tracker = wire, tracker
        self.is_stopping = self._has_waited = False
        #: Sites that have said good-bye.
        self.gone: set[str] = set()

    def results(self, last: Record) -> None:
        """Write the results, then tell the sites."""
        course = self._course
        ledger, book = course.ledger, course.book
        state = course.weights()
        digest = self._results.model(self._config, state, ledger=ledger, book=book)
        seconds = time.time() - ledger.started_at
        summary = self._results.summary(
            self._config, ledger=ledger, book=book, seconds=seconds, last=last, digest=digest
        )
        self._tracker.finish(summary)
        ledger.finished = True
        course.save()
        self._checkpoints.wait()
        _log.info("%d rounds done; the global model is %s", book.rounds, digest[:12])
        self.say_farewell()

    def say_farewell(self, *, again: bool = False) -> None:
        """Tell the sites that the run is done, and wait for their good-bye."""
        self._tell_all("done")
        self._course.show_progress()
        self._course.desk.call_later(_FAREWELL_AGAIN_SECONDS if again else _FAREWELL_SECONDS, LOCAL_FAREWELL)

    def said_good_bye(self, site: str) -> None:
        """End when every site has said good-bye."""
        self.gone.add(site)
        if self._course.ledger.finished and self.gone >= set(self._course.book.members):
            self._end()

    def farewell_is_over(self) -> None:
        """End without the good-bye of some."""
        missing = [site for site in self._course.book.members if site not in self.gone]
        may_come = [site for site in missing if site in self._course.known and not self._course.book.has_left(site)]
        if may_come and not self._has_waited:
            self._has_waited = True
            _log.info("no good-bye from %s yet; waiting a little longer", ", ".join(may_come))
            self._course.desk.call_later(_LONGER_SECONDS, LOCAL_FAREWELL)
            return
        _log.warning(
            "no good-bye from %s; ending without. If a process waits there: federate stop %s",
            ", ".join(missing),
            " ".join(missing),
        )
        self._end()

    def stop_asked(self) -> None:
        """Finish the round if it is under way, then stop.

        Raises:
            Stopped: nothing is under way.
        """
        if self.is_stopping:
            return
        self.is_stopping = True
        if self._course.ledger.finished or self._course.book.opened_at is None:
            self.stop_now()
        _log.info("asked to stop: round %d is finished first", self._course.book.round + 1)
        self._course.desk.call_later(_LAST_ROUND_SECONDS, LOCAL_STOP_NOW)

    def stop_now(self) -> None:
        """Stop with what is durable.

        Raises:
            Stopped: always.
        """
        self._checkpoints.wait()
        if not self._course.ledger.finished:
            self._tell_all("stopped")
        raise Stopped(
            f"Stopped before round {self._course.book.round + 1} of {self._course.book.rounds}.",
            remedy="The next start goes on from there.",
        )

    def cancel(self) -> None:
        """End for good, without a model.

        Raises:
            Cancelled: always, unless the run is done already.
        """
        if self._course.ledger.finished:
            return
        self._checkpoints.clear()
        self._tell_all("cancelled")
        summary = self._results.cancelled(self._config, ledger=self._course.ledger, book=self._course.book)
        self._tracker.finish(summary)
        raise Cancelled(f"Cancelled in round {self._course.book.round + 1} of {self._course.book.rounds}.")

    def _tell_all(self, outcome: str) -> None:
        for site in self._course.book.members:
            if site in self._course.known:
                self._course.finish(site, outcome)
        if outcome != "done":
            self._wire.flush(_FLUSH_SECONDS)

    def _end(self) -> None:
        """End the loop. That all is done stays written, or a process that is killed now would begin all of it again."""
        self._course.end()
        self._course.desk.finish()

"""The course of a run at the aggregator: from one round to the next, by the book, until it ends.

A site that is asked gets the current model and its round at once. Its answer carries the update and the evaluation of
the model that it got, so the metrics of round r come with the answers of round r + 1, and after the last round there is
one exchange that only evaluates. A round is made durable while the sites work on the next one, which does not close
before that; whatever is lost by a crash is asked for again, and a site that fits a round again gives the same bits.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from fl_app.config import RunConfig
from fl_app.learning.aggregator import RosterAggregator
from fl_app.learning.extra import weights_of
from fl_app.rounds.book import Verdict
from fl_app.rounds.checkpoint import Checkpoints, Found
from fl_app.rounds.ending import Ending
from fl_app.rounds.enough import Enough
from fl_app.rounds.ledger import Ledger
from fl_app.rounds.members import Members
from fl_app.rounds.opening import open_book
from fl_app.rounds.records import Record, evaluated_record, in_words, opened_record
from fl_app.rounds.results import Results
from fl_app.rounds.stopping import Patience
from fl_app.tracking import Tracker
from fl_app.transport.hub_manager import HubManager
from fl_app.transport.queue_manager import LOCAL_DEADLINE, LOCAL_TICK

_log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_SAY_EVERY = 5.0


class Desk(Protocol):
    """What sends for the course: FedML's server manager."""

    def send_task(self, site: str, model: Mapping[str, Tensor], fields: Mapping[str, Any], *, is_first: bool) -> None:
        """Send a site the global model and what it is to do with it."""

    def send_finish(self, site: str, fields: Mapping[str, Any]) -> None:
        """Tell a site how the run ends for it."""

    def call_later(self, seconds: float, kind: int) -> None:
        """Have the handler of a local message called after some seconds."""

    def finish(self) -> None:
        """End the loop."""


class Course:
    """One run, from its beginning or its last checkpoint to its end."""

    def __init__(
        self,
        config: RunConfig,
        aggregator: RosterAggregator,
        *,
        members: Members,
        wire: HubManager,
        checkpoints: Checkpoints,
        fingerprint: str,
        results: Results,
        tracker: Tracker,
        found: Found | None,
        start: str = "",
    ) -> None:
        """Prepare to run.

        Args:
            config: the aggregator's run files.
            aggregator: holds the global model, the checkpoint's if there is one.
            members: the sites that take part, who may change.
            wire: connected to the sites.
            checkpoints: where each round is made durable.
            fingerprint: of the settings, for the checkpoints.
            results: the output folder.
            tracker: told of every round.
            found: where the run stands, or None for a new one.
            start: what the operator calls this start.
        """
        self._config, self._aggregator, self._members, self._wire = config, aggregator, members, wire
        self._checkpoints, self._fingerprint = checkpoints, fingerprint
        self._results, self._tracker = results, tracker
        self._is_new, self._enough = found is None, Enough(aggregator)
        self.ledger = Ledger.of(found.progress, start=start) if found else Ledger(start=start)
        self.book = open_book(config, self.ledger.run, members.now(self.ledger.expelled), found)
        stopping = config.training.early_stopping
        self._patience = Patience(stopping.metric, stopping.patience, stopping.min_delta) if stopping else None
        self.ending = Ending(self, config, results=results, checkpoints=checkpoints, wire=wire, tracker=tracker)
        #: Sites whose process has reported: they get the next task without asking.
        self.known: set[str] = set()
        self._said_at = time.monotonic()
        self.model: OrderedDict[str, Tensor] = OrderedDict()

    @property
    def only_evaluates(self) -> bool:
        """Whether all rounds are done and the sites only evaluate the final model."""
        return self.book.only_evaluates

    def begin(self, desk: Desk) -> None:
        """Take up the round that the run stands at.

        Raises:
            PluginError: the aggregation does not work with so few sites.
        """
        self.desk = desk
        self._enough.at_first(self.book, is_new=self._is_new)
        self._adopt(self._aggregator.get_global_model_params())
        self._prepare_round()

    def ready(self) -> None:
        """Begin, or go on, now that messages are handled."""
        if self.ledger.finished:
            _log.info("the run is done; telling the sites that come back")
            self.ending.say_farewell(again=True)
        elif self.book.round:
            _log.info("going on at round %d of %d", self.book.round + 1, self.book.rounds)
        self.show_progress()
        self._wire.remember(self.ledger.serials)
        self.desk.call_later(_TICK_SECONDS, LOCAL_TICK)

    def joined(self, site: str) -> None:
        """Note that a site's stream is there."""
        if site in self.ledger.expelled:  # it has a new certificate, or it would not be admitted
            self.ledger.expelled.discard(site)
            self._members_have_changed()
        self.book.joined(site, time.monotonic())
        _log.info("%s is connected", site)
        self._arm_deadline()
        self.show_progress()

    def lost(self, site: str) -> None:
        """Note that a site's stream is gone."""
        self.book.lost(site)
        if site not in self.ending.gone:
            _log.info("%s has lost its connection", site)

    def reported(self, site: str, data_sha256: str) -> None:
        """Give a process of a site that has just come its task, or tell it that the run is over."""
        self.known.add(site)
        if data_sha256:
            self.ledger.data[site] = data_sha256
        if self._members.arrived(site):
            _log.info("%s takes part from the next round on", site)
            self._members_have_changed()
        if self.ledger.finished:
            self.finish(site, "done")
        elif site in self.book.asked:
            self._send_task(site, is_first=True)

    def leaves(self, site: str) -> None:
        """Note that a site leaves in order."""
        _log.info("%s leaves", site)
        self.book.left(site)
        self.close_if_due()

    def expelled(self, site: str) -> None:
        """Go on without a site whose certificate is revoked."""
        if site not in self.ledger.expelled:
            _log.warning("%s is expelled: its certificate is revoked", site)
            self.ledger.expelled.add(site)
            self._members_have_changed()
            if not self.ledger.finished:
                self.save()  # it will not come to be refused again

    def judge(self, site: str, fields: Mapping[str, Any]) -> Verdict:
        """Say whether an answer counts."""
        return self.book.judge(site, fields["run"], fields["round"], fields["edition"])

    def updated(self, site: str, state: Mapping[str, Tensor], samples: int, metrics: Mapping[str, Any]) -> None:
        """Take an update that counts."""
        self._aggregator.add_local_trained_result(self._aggregator.roster.index(site), state, samples)
        self.book.answered(site, metrics, time.monotonic(), samples=samples)
        self.close_if_due()

    def refused(self, site: str, why: str) -> None:
        """Note that a site's update was not one; the round's record says so."""
        self._refused[site] = why

    def evaluated(self, site: str, metrics: Mapping[str, Any]) -> None:
        """Take a site's evaluation of the final model."""
        self.book.answered(site, metrics, time.monotonic())
        self.close_if_due()

    def close_if_due(self) -> None:
        """Close the round if all that were asked have answered, or its time is up with a quorum."""
        now = time.monotonic()
        if self.ledger.finished or self._enough.missing or not self.book.may_close(now):
            return
        missing = self.book.waiting_for()
        if missing:
            _log.warning("round %d closes without %s", self.book.round + 1, ", ".join(missing))
        pending, self.ledger.pending = self.ledger.pending, None
        record = evaluated_record(pending, self.book.answers) if pending else None
        if record and self.book.only_evaluates:
            self._tell(record)
            self.ending.results(record)
            return
        if record and self._patience and self._patience.is_over(self.ledger, record):
            self.book.end_early()
        self._close_round(now, record)

    def tick(self) -> None:
        """Look at the roster, and say what is waited for; once a second."""
        change = self._members.look()
        if change:
            # One that is put back later has to report again, and is not expelled until its certificate says so.
            self.known -= change.gone
            self.ledger.expelled -= change.gone
            self._wire.admit(self._members.roster)
            self._members_have_changed()
        self.close_if_due()
        self.show_progress()
        waiting, now = self.book.waiting_for(), time.monotonic()
        if not self.ledger.finished and now - self._said_at >= _SAY_EVERY and (waiting or self._enough.missing):
            self._said_at = now
            missing = self._enough.missing
            told = f"is {missing}" if missing else f"waits for {', '.join(map(self._in_words, waiting))}"
            _log.info("round %d %s", self.book.round + 1, told)
        self.desk.call_later(_TICK_SECONDS, LOCAL_TICK)

    def finish(self, site: str, outcome: str) -> None:
        """Tell a site how the run ends for it."""
        self.desk.send_finish(site, {"run": self.book.run, "outcome": outcome})

    def weights(self) -> OrderedDict[str, Tensor]:
        """Return the global model's weights, without what an aggregation sends beside them."""
        return weights_of(self.model)

    def save(self) -> None:
        """Make durable where the run stands, on another thread."""
        self.ledger.serials = self._wire.serials()
        self._checkpoints.save_later(
            self.ledger.progress(self.book, self._fingerprint),
            self.model,
            kept=self._aggregator.kept(),
            encoded=self._wire.encoded(self.model),
            before=self._results.sync,
        )

    def end(self) -> None:
        """Make durable that all is done and told; the model is among the results by now."""
        self._checkpoints.wait()
        self.ledger.told = True
        self._checkpoints.save(self.ledger.progress(self.book, self._fingerprint), OrderedDict())
        self._checkpoints.keep_newest()

    def show_progress(self) -> None:
        """Write where the run stands, for whoever looks."""
        book = self.book
        phase = "finished" if self.ledger.finished else "evaluating" if book.only_evaluates else "training"
        if phase == "training" and book.round == 0 and not book.connected:
            phase = "waiting"
        waiting = () if self.ledger.finished else book.waiting_for()
        self._results.progress(
            round_=min(book.round, book.rounds), rounds=book.rounds, phase=phase, waiting_for=waiting
        )

    def _close_round(self, now: float, evaluated: Record | None) -> None:
        """Aggregate and send the next round; write about the one before and make this one durable meanwhile."""
        updates, unusual = self._aggregator.updates(), self._aggregator.unusual()
        self._adopt(self._aggregator.aggregate()[0])
        record = opened_record(self.book, now - (self.book.opened_at or now), updates, unusual)
        self.ledger.closed({**record, **({"refused": self._refused} if self._refused else {})})
        self.book.close(now)
        self._prepare_round()
        self._checkpoints.wait()
        if not self.ending.is_stopping:
            self._send_tasks()
        if evaluated:
            self._tell(evaluated)
        self.save()
        self._arm_deadline()
        self._said_at = now
        self.show_progress()
        if self.ending.is_stopping:
            self.ending.stop_now()

    def _prepare_round(self) -> None:
        self._refused: dict[str, str] = {}
        self._aggregator.expect(self.book.asked)

    def _send_tasks(self) -> None:
        for site in self.book.asked:
            if site in self.known:
                self._send_task(site)

    def _send_task(self, site: str, *, is_first: bool = False) -> None:
        self.book.told(site, time.monotonic())
        fields = {
            "run": self.book.run,
            "round": self.book.round,
            "rounds": self.book.rounds,
            "counted": self.ledger.counted.get(site),
            "edition": self.book.edition,
        }
        self.desk.send_task(site, self.model, fields, is_first=is_first)

    def _tell(self, record: Record) -> None:
        """Write about a round whose model has been evaluated."""
        self._results.round(record)
        self._tracker.round(record)
        _log.info("round %d of %d: %s", record["round"] + 1, record["rounds"], in_words(record))

    def _adopt(self, state: OrderedDict[str, Tensor]) -> None:
        """Keep the global model once: as the bytes that are sent, FedML's own as views on them."""
        self.model = self._wire.adopt(state)
        self._aggregator.set_global_model_params(self.model)

    def _members_have_changed(self) -> None:
        asked = set(self.book.asked)
        members = self._members.now(self.ledger.expelled)
        self.book.members_are(members, time.monotonic())
        if not set(self.book.asked) <= asked:  # drawn anew: nobody is left of those that were
            self._prepare_round()
            self._send_tasks()
        if members and not self.ledger.finished:
            if self._enough.again(self.book):
                self._ask_also()
        elif not members:
            _log.warning("no site is left; the run waits for one")
        self.close_if_due()
        self._arm_deadline()
        self.show_progress()

    def _ask_also(self) -> None:
        """Ask who is new in this round already: those that are left of it are too few."""
        new = self.book.ask_also(time.monotonic())
        self._aggregator.expect_also(new)
        for site in new:
            if site in self.known:
                self._send_task(site)

    def _arm_deadline(self) -> None:
        closes_at = self.book.closes_at
        if closes_at is not None:
            self.desk.call_later(closes_at - time.monotonic(), LOCAL_DEADLINE)

    def _in_words(self, site: str) -> str:
        if self.book.has_left(site):
            return f"{site} (has left)"
        return site if site in self.book.connected else f"{site} (not connected)"

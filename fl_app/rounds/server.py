"""FedML's server manager at the hub, with round ids, quorum and deadline, checkpoints, and sites that come back.

A site that is there gets the current model and its round at once. Its answer carries the update and the evaluation of
the model that it got, so the metrics of round r come with the answers of round r + 1, and after the last round there is
one exchange that only evaluates. A round is made durable while the sites work on the next one, which does not close
before that; whatever is lost by a crash is asked for again, and a site that fits a round again gives the same bits.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from typing import Any

from torch import Tensor

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.config import RunConfig
from fl_app.learning.aggregator import RosterAggregator
from fl_app.learning.extra import weights_of
from fl_app.learning.state import difference
from fl_app.rounds.book import RoundBook, Rules
from fl_app.rounds.checkpoint import Checkpoints, Progress
from fl_app.rounds.records import Record, evaluated_record, in_words, opened_record
from fl_app.rounds.results import Results
from fl_app.tracking import Tracker
from fl_app.transport.managers import (
    LOCAL_DEADLINE,
    LOCAL_FAREWELL,
    LOCAL_JOINED,
    LOCAL_LEFT,
    LOCAL_RETURNED,
    LOCAL_TICK,
    HubManager,
)

from fedml.core.distributed.communication.message import Message  # isort: skip
from fedml.cross_silo.server.fedml_server_manager import FedMLServerManager  # isort: skip
from fedml.cross_silo.server.message_define import MyMessage  # isort: skip

_log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_SAY_EVERY = 5.0
#: How long the aggregator waits for the sites' good-bye after the last round; longer if it has to be found again.
_FAREWELL_SECONDS = 10.0
_FAREWELL_AGAIN_SECONDS = 60.0


class ServerRounds(FedMLServerManager):  # type: ignore[misc]  # FedML is not typed
    """Runs the rounds of one run to their end."""

    def __init__(
        self,
        args: Any,
        aggregator: RosterAggregator,
        *,
        config: RunConfig,
        wire: HubManager,
        checkpoints: Checkpoints,
        fingerprint: str,
        results: Results,
        tracker: Tracker,
        resumed: Progress | None,
    ) -> None:
        """Prepare to run.

        Args:
            args: FedML's.
            aggregator: holds the global model, the checkpoint's if there is one.
            config: the aggregator's run files.
            wire: connected to the sites.
            checkpoints: where each round is made durable.
            fingerprint: of the settings, for the checkpoints.
            results: the output folder.
            tracker: told of every round.
            resumed: where the run stands, or None for a new one.
        """
        self._wire = wire
        super().__init__(args, aggregator, None, 0, len(config.roster), "GRPC")
        self._config, self._checkpoints, self._fingerprint = config, checkpoints, fingerprint
        self._results, self._tracker = results, tracker
        run = resumed.run if resumed else secrets.token_hex(8)
        self._started_at = resumed.started_at if resumed else time.time()
        self._pending: Record | None = resumed.pending if resumed else None
        self._samples: dict[str, int] = dict(resumed.samples) if resumed else {}
        self._finished = resumed.finished if resumed else False
        policy = config.policy
        rules = Rules(config.roster, config.training.rounds, policy.quorum, policy.deadline_seconds)
        self._book = RoundBook(rules, run, resumed.next_round if resumed else 0)
        self._known: set[str] = set()
        self._gone: set[str] = set()
        self._said_at = time.monotonic()
        self._model: OrderedDict[str, Tensor] = OrderedDict()
        self._adopt(aggregator.get_global_model_params())
        self.args.round_idx = self._book.round

    def _init_manager(self) -> None:
        """Use our wire where FedML would make one of its own."""
        self.com_manager = self._wire
        self.com_manager.add_observer(self)

    def register_message_receive_handlers(self) -> None:
        """Add to FedML's handlers those of events that it does not know."""
        super().register_message_receive_handlers()
        for kind, handler in {
            LOCAL_JOINED: self._site_joined,
            LOCAL_RETURNED: self._site_joined,
            LOCAL_LEFT: self._site_left,
            LOCAL_TICK: self._tick,
            LOCAL_DEADLINE: self._deadline,
            LOCAL_FAREWELL: self._farewell_is_over,
            MyMessage.MSG_TYPE_C2S_SEND_STATS_TO_SERVER: self._evaluation_arrived,
        }.items():
            self.register_message_receive_handler(kind, handler)

    def receive_message(self, msg_type: int, msg_params: Message) -> None:
        """Call the handler; FedML's own would report a KeyError inside one as an unknown message."""
        self.message_handler_dict[msg_type](msg_params)

    def handle_message_connection_ready(self, msg_params: Message) -> None:
        """Begin, or go on: the sites come by themselves, nobody is asked."""
        self.client_id_list_in_this_round = self.client_real_ids
        self.data_silo_index_list = list(range(len(self.client_real_ids)))
        self.is_initialized = True
        if self._finished:
            _log.info("the run is done; telling the sites that come back")
            self._say_farewell(_FAREWELL_AGAIN_SECONDS)
        elif self._book.round:
            _log.info("going on at round %d of %d", self._book.round + 1, self._book.rules.rounds)
        self._show_progress()
        self._wire.call_later(_TICK_SECONDS, Message(LOCAL_TICK, 0, 0))

    def process_online_status(self, client_status: str, msg_params: Message) -> None:
        """Give a site that has just come the current model, or tell it that the run is over."""
        rank = msg_params.get_sender_id()
        self.client_online_mapping[str(rank)] = True
        self._known.add(self._site(rank))
        if self._finished:
            self.send_message_finish(rank, rank - 1)
        else:
            self.send_message_init_config(rank, self._model, rank - 1)

    def process_finished_status(self, client_status: str, msg_params: Message) -> None:
        """End when every site has said good-bye."""
        self._gone.add(self._site(msg_params.get_sender_id()))
        if self._finished and len(self._gone) == len(self._config.roster):
            self.finish()

    def send_message(self, message: Message) -> None:
        """Stamp the run and the round on what goes to a site."""
        message.add_params("run", self._book.run)
        if message.get_type() != MyMessage.MSG_TYPE_S2C_FINISH:
            message.add_params("round", self._book.round)
            message.add_params("rounds", self._book.rules.rounds)
        super().send_message(message)

    def handle_message_receive_model_from_client(self, msg_params: Message) -> None:
        """Take a site's update, if it is its first to this round and of the model's form."""
        rank = msg_params.get_sender_id()
        site = self._site(rank)
        if self._book.only_evaluates or not self._counts(site, msg_params):
            return
        state = msg_params.get(MyMessage.MSG_ARG_KEY_MODEL_PARAMS)
        wrong = difference(state, self.aggregator.template)
        if wrong:
            self._wire.refuse(site, f"the update of round {self._book.round}: {wrong}")
            return
        samples = msg_params.get(MyMessage.MSG_ARG_KEY_NUM_SAMPLES)
        self.aggregator.add_local_trained_result(rank - 1, state, samples)
        self._samples[site] = samples
        self._answered(site, msg_params)

    def _evaluation_arrived(self, msg_params: Message) -> None:
        site = self._site(msg_params.get_sender_id())
        if self._book.only_evaluates and self._counts(site, msg_params):
            self._answered(site, msg_params)

    def _counts(self, site: str, message: Message) -> bool:
        verdict = self._book.judge(site, message.get("run"), message.get("round"))
        if verdict != "counts":
            self._wire.dropped(site, f"a {verdict} answer, to round {message.get('round')}: dropped")
        return verdict == "counts"

    def _answered(self, site: str, message: Message) -> None:
        self._book.answered(site, message.get("metrics"))
        self._close_if_due()

    def _close_if_due(self) -> None:
        now = time.monotonic()
        if self._finished or not self._book.may_close(now):
            return
        missing = self._book.waiting_for()
        if missing:
            _log.warning("round %d closes without %s", self._book.round + 1, ", ".join(missing))
        record = evaluated_record(self._pending, self._book.answers) if self._pending else None
        self._pending = None
        if record and self._book.only_evaluates:
            self._tell(record)
            self._end(record)
        else:
            self._close_round(now, record)

    def _tell(self, record: Record) -> None:
        """Write about a round whose model has been evaluated."""
        self._results.round(record)
        self._tracker.round(record)
        _log.info("round %d of %d: %s", record["round"] + 1, record["rounds"], in_words(record))

    def _close_round(self, now: float, evaluated: Record | None) -> None:
        """Aggregate and send the next round; write about the one before and make this one durable meanwhile."""
        updates = self.aggregator.updates()
        self._adopt(self.aggregator.aggregate()[0])
        seconds = now - (self._book.opened_at or now)
        self._pending = opened_record(self._book.round, self._book.rules.rounds, seconds, updates, self._book.answers)
        self._book.advance(now)
        self.args.round_idx = self._book.round
        self._checkpoints.wait()
        for rank in self.client_real_ids:
            if self._site(rank) in self._known:
                self.send_message_sync_model_to_client(rank, self._model, rank - 1)
        if evaluated:
            self._tell(evaluated)
        self._save()
        self._arm_deadline()
        self._said_at = now
        self._show_progress()

    def _adopt(self, state: OrderedDict[str, Tensor]) -> None:
        """Keep the global model once: as the bytes that are sent, FedML's own as views on them."""
        self._model = self._wire.adopt(state)
        self.aggregator.set_global_model_params(self._model)

    def _end(self, last: Record) -> None:
        """Write the results, then tell the sites."""
        digest = self._results.model(self._config, weights_of(self._model), self._samples)
        seconds = time.time() - self._started_at
        summary = self._results.summary(self._config, run=self._book.run, seconds=seconds, last=last, digest=digest)
        self._tracker.finish(summary)
        self._finished = True
        self._save()
        self._checkpoints.wait()
        _log.info("%d rounds done; the global model is %s", self._book.rules.rounds, digest[:12])
        self._say_farewell(_FAREWELL_SECONDS)

    def _say_farewell(self, seconds: float) -> None:
        for rank in self.client_real_ids:
            if self._site(rank) in self._known:
                self.send_message_finish(rank, rank - 1)
        self._show_progress()
        self._wire.call_later(seconds, Message(LOCAL_FAREWELL, 0, 0))

    def _farewell_is_over(self, _: Message) -> None:
        missing = [site for site in self._config.roster if site not in self._gone]
        _log.warning("no good-bye from %s; ending without", ", ".join(missing))
        self.finish()

    def finish(self) -> None:
        """End the loop; the run's checkpoints are not needed any more."""
        self._checkpoints.clear()
        super().finish()

    def _site_joined(self, message: Message) -> None:
        self._book.joined(self._site(message.get_sender_id()), time.monotonic())
        _log.info("%s is connected", self._site(message.get_sender_id()))
        self._arm_deadline()
        self._show_progress()

    def _site_left(self, message: Message) -> None:
        site = self._site(message.get_sender_id())
        self._book.left(site)
        if site not in self._gone:
            _log.info("%s has lost its connection", site)

    def _arm_deadline(self) -> None:
        limit = self._book.rules.deadline_seconds
        if limit is not None and self._book.opened_at is not None:
            left = self._book.opened_at + limit - time.monotonic()
            self._wire.call_later(max(0.0, left), Message(LOCAL_DEADLINE, 0, 0))

    def _deadline(self, _: Message) -> None:
        self._close_if_due()

    def _tick(self, _: Message) -> None:
        now = time.monotonic()
        self._show_progress()
        waiting = self._book.waiting_for()
        if not self._finished and waiting and now - self._said_at >= _SAY_EVERY:
            self._said_at = now
            told = [site if site in self._book.connected else f"{site} (not connected)" for site in waiting]
            _log.info("round %d waits for %s", self._book.round + 1, ", ".join(told))
        self._wire.call_later(_TICK_SECONDS, Message(LOCAL_TICK, 0, 0))

    def _save(self) -> None:
        progress = Progress(
            run=self._book.run,
            fingerprint=self._fingerprint,
            next_round=self._book.round,
            finished=self._finished,
            pending=self._pending,
            samples=dict(self._samples),
            started_at=self._started_at,
        )
        encoded = self._wire.encoded(self._model)
        self._checkpoints.save_later(progress, self._model, encoded=encoded, before=self._results.sync)

    def _show_progress(self) -> None:
        book = self._book
        phase = "finished" if self._finished else "evaluating" if book.only_evaluates else "training"
        if phase == "training" and book.round == 0 and not book.connected:
            phase = "waiting"
        self._results.progress(
            round_=min(book.round, book.rules.rounds),
            rounds=book.rules.rounds,
            phase=phase,
            waiting_for=() if self._finished else book.waiting_for(),
        )

    def _site(self, rank: int) -> str:
        return self._config.roster[rank - 1]

"""FedML's server manager at the hub: its messages and handlers on one side, the course of the run on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.learning.aggregator import RosterAggregator
from fl_app.learning.state import difference
from fl_app.rounds.course import Course
from fl_app.rounds.ranks import Ranks
from fl_app.transport.hub_manager import HubManager
from fl_app.transport.queue_manager import (
    LOCAL_CANCEL,
    LOCAL_DEADLINE,
    LOCAL_EXPELLED,
    LOCAL_FAREWELL,
    LOCAL_JOINED,
    LOCAL_LEFT,
    LOCAL_RETURNED,
    LOCAL_STOP,
    LOCAL_STOP_NOW,
    LOCAL_TICK,
)

from fedml.core.distributed.communication.message import Message  # isort: skip
from fedml.cross_silo.server.fedml_server_manager import FedMLServerManager  # isort: skip
from fedml.cross_silo.server.message_define import MyMessage  # isort: skip


class ServerRounds(FedMLServerManager):  # type: ignore[misc]  # FedML is not typed
    """Hands what arrives to the course of the run, and sends what the course says."""

    def __init__(
        self, args: Any, aggregator: RosterAggregator, *, ranks: Ranks, wire: HubManager, course: Course
    ) -> None:
        """Prepare to run.

        Args:
            args: FedML's.
            aggregator: holds the global model.
            ranks: FedML's number of each site.
            wire: connected to the sites.
            course: of the run.
        """
        self._wire, self._ranks, self._course = wire, ranks, course
        super().__init__(args, aggregator, None, 0, len(ranks), "GRPC")
        course.begin(self)

    def _init_manager(self) -> None:
        """Use our wire where FedML would make one of its own."""
        self.com_manager = self._wire
        self.com_manager.add_observer(self)

    def register_message_receive_handlers(self) -> None:
        """Add to FedML's handlers those of events that it does not know."""
        super().register_message_receive_handlers()
        course, ending = self._course, self._course.ending
        for kind, handler in {
            LOCAL_JOINED: lambda message: course.joined(self._site(message)),
            LOCAL_RETURNED: lambda message: course.joined(self._site(message)),
            LOCAL_LEFT: lambda message: course.lost(self._site(message)),
            LOCAL_EXPELLED: lambda message: course.expelled(self._site(message)),
            LOCAL_TICK: lambda _: course.tick(),
            LOCAL_DEADLINE: lambda _: course.close_if_due(),
            LOCAL_FAREWELL: lambda _: ending.farewell_is_over(),
            LOCAL_STOP: lambda _: ending.stop_asked(),
            LOCAL_STOP_NOW: lambda _: ending.stop_now(),
            LOCAL_CANCEL: lambda _: ending.cancel(),
            MyMessage.MSG_TYPE_C2S_SEND_STATS_TO_SERVER: self._evaluation_arrived,
        }.items():
            self.register_message_receive_handler(kind, handler)

    def receive_message(self, msg_type: int, msg_params: Message) -> None:
        """Call the handler; FedML's own would report a KeyError inside one as an unknown message."""
        self.message_handler_dict[msg_type](msg_params)

    def handle_message_connection_ready(self, msg_params: Message) -> None:
        """Begin, or go on: the sites come by themselves, nobody is asked."""
        self.is_initialized = True
        self._course.ready()

    def handle_message_client_status_update(self, msg_params: Message) -> None:
        """Take up a site that has just come, and note one that goes."""
        site, status = self._site(msg_params), msg_params.get(MyMessage.MSG_ARG_KEY_CLIENT_STATUS)
        if status == self.ONLINE_STATUS_FLAG:
            self._course.reported(site, msg_params.get("data_sha256"))
        elif status == self.RUN_FINISHED_STATUS_FLAG:
            self._course.ending.said_good_bye(site)
        else:
            self._course.leaves(site)

    def handle_message_receive_model_from_client(self, msg_params: Message) -> None:
        """Take a site's update, if it is its first to this round and of the model's form."""
        site = self._site(msg_params)
        if self._course.only_evaluates or not self._counts(site, msg_params):
            return
        state = msg_params.get(MyMessage.MSG_ARG_KEY_MODEL_PARAMS)
        wrong = difference(state, self.aggregator.template)
        if wrong:
            self._wire.refuse(site, f"the update of round {msg_params.get('round')}: {wrong}")
            self._course.refused(site, wrong)
            return
        samples = msg_params.get(MyMessage.MSG_ARG_KEY_NUM_SAMPLES)
        self._course.updated(site, state, samples, msg_params.get("metrics"))

    def _evaluation_arrived(self, msg_params: Message) -> None:
        site = self._site(msg_params)
        if self._course.only_evaluates and self._counts(site, msg_params):
            self._course.evaluated(site, msg_params.get("metrics"))

    def _counts(self, site: str, message: Message) -> bool:
        verdict = self._course.judge(site, {name: message.get(name) for name in ("run", "round", "edition")})
        if verdict != "counts":
            self._wire.dropped(site, f"an answer that is {verdict}, to round {message.get('round')}: dropped")
        return verdict == "counts"

    def send_task(self, site: str, model: Mapping[str, Tensor], fields: Mapping[str, Any], *, is_first: bool) -> None:
        """Send a site the global model and what it is to do with it; FedML calls the first one another message."""
        self._fields = fields
        rank = self._ranks.of(site)
        send = self.send_message_init_config if is_first else self.send_message_sync_model_to_client
        send(rank, model, rank - 1)

    def send_finish(self, site: str, fields: Mapping[str, Any]) -> None:
        """Tell a site how the run ends for it."""
        self._fields = fields
        rank = self._ranks.of(site)
        self.send_message_finish(rank, rank - 1)

    def send_message(self, message: Message) -> None:
        """Put our fields beside FedML's."""
        for name, value in self._fields.items():
            message.add_params(name, value)
        super().send_message(message)

    def call_later(self, seconds: float, kind: int) -> None:
        """Have a handler called after some seconds."""
        self._wire.call_later(max(0.0, seconds), Message(kind, 0, 0))

    def _site(self, message: Message) -> str:
        return self._ranks.site(int(message.get_sender_id()))

"""FedML's client manager at a site: evaluates the model that comes, fits it, answers; and joins again by itself."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

from torch import Tensor

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.config import RunConfig
from fl_app.errors import Cancelled
from fl_app.learning.trainer import SiteTrainer
from fl_app.rounds.local_state import LocalState
from fl_app.rounds.results import Results
from fl_app.transport.link import AGGREGATOR
from fl_app.transport.queue_manager import LOCAL_JOINED
from fl_app.transport.site_manager import SiteManager

from fedml.core.distributed.communication.message import Message  # isort: skip
from fedml.cross_silo.client.fedml_client_master_manager import ClientMasterManager  # isort: skip
from fedml.cross_silo.client.fedml_trainer_dist_adapter import TrainerDistAdapter  # isort: skip
from fedml.cross_silo.client.message_define import MyMessage  # isort: skip

_log = logging.getLogger(__name__)

_LEAVE_SECONDS = 2.0


class Superseded(Exception):
    """Another task than the one that is worked on has come."""


class ClientRounds(ClientMasterManager):  # type: ignore[misc]  # FedML is not typed
    """Answers the aggregator's tasks until it says that the run is over."""

    def __init__(
        self,
        args: Any,
        adapter: TrainerDistAdapter,
        trainer: SiteTrainer,
        *,
        config: RunConfig,
        wire: SiteManager,
        results: Results,
        local_state: LocalState,
        data_sha256: str,
    ) -> None:
        """Prepare to answer.

        Args:
            args: FedML's.
            adapter: FedML's, around the trainer and the site's data.
            trainer: fits and evaluates.
            config: the site's run files.
            wire: dials the aggregator.
            results: the output folder.
            local_state: what the algorithm remembers here.
            data_sha256: the digest of the site's data, for the model's provenance.
        """
        self._wire = wire
        super().__init__(args, adapter, None, 1, 1, "GRPC")
        self._trainer, self._config, self._results = trainer, config, results
        self._local_state, self._data_sha256 = local_state, data_sha256
        self._run = self._edition = ""

    def _init_manager(self) -> None:
        """Use our wire where FedML would make one of its own."""
        self.com_manager = self._wire
        self.com_manager.add_observer(self)

    def register_message_receive_handlers(self) -> None:
        """Add to FedML's handlers that of a new session."""
        super().register_message_receive_handlers()
        self.register_message_receive_handler(LOCAL_JOINED, self._joined)

    def receive_message(self, msg_type: int, msg_params: Message) -> None:
        """Call the handler; FedML's own would report a KeyError inside one as an unknown message."""
        self.message_handler_dict[msg_type](msg_params)

    def handle_message_connection_ready(self, msg_params: Message) -> None:
        """Wait: the link says when there is an aggregator to report to."""
        self._show("waiting", [AGGREGATOR])

    def _joined(self, _: Message) -> None:
        """Report to an aggregator that has not heard of this process, be it new or be this process new."""
        self.send_client_status(0)

    def send_client_status(self, receive_id: int, status: str = ClientMasterManager.ONLINE_STATUS_FLAG) -> None:
        """Say that this process is there, or goes."""
        message = Message(MyMessage.MSG_TYPE_C2S_CLIENT_STATUS, 1, receive_id)
        message.add_params(MyMessage.MSG_ARG_KEY_CLIENT_STATUS, status)
        message.add_params("data_sha256", self._data_sha256)
        self.send_message(message)

    def leave(self) -> None:
        """Say that this site leaves in order: the aggregator need not wait for it."""
        self.send_client_status(0, "LEAVING")
        self._wire.flush(_LEAVE_SECONDS)

    def handle_message_init(self, msg_params: Message) -> None:
        """Take up the current round, whichever it is."""
        self._work(msg_params)

    def handle_message_receive_model_from_server(self, msg_params: Message) -> None:
        """Take up the next round."""
        self._work(msg_params)

    def handle_message_finish(self, msg_params: Message) -> None:
        """Say good-bye and end; or wait, if the aggregator is to come back.

        Raises:
            Cancelled: the run was ended for good.
        """
        outcome = msg_params.get("outcome")
        if outcome == "stopped":
            _log.info("the aggregator was stopped; waiting for it to come back")
            self._show("waiting", [AGGREGATOR])
            return
        self._results.sync()
        if outcome == "cancelled":
            raise Cancelled("The coordinator has cancelled the run.")
        _log.info("the run is done")
        self._show("finished", [])
        super().handle_message_finish(msg_params)

    def check(self) -> None:
        """Raise :class:`Superseded` if the aggregator has given another task than the one that is worked on."""
        if self._wire.is_outdated(self._run, self.round_idx, self._edition):
            raise Superseded

    def _work(self, task: Message) -> None:
        """Do a task, unless another one comes meanwhile: the round has closed, or the aggregator is a new process."""
        self._run, self._edition = task.get("run"), task.get("edition")
        self.round_idx, self.num_rounds = task.get("round"), task.get("rounds")
        try:
            self.check()
            self._evaluate_and_fit(task)
        except Superseded:
            _log.info("round %d goes on without this fit; another task comes", self.round_idx + 1)
        self._show("waiting", [AGGREGATOR])

    def _evaluate_and_fit(self, task: Message) -> None:
        """Evaluate the global model on held-out data, then fit it."""
        self.trainer_dist_adapter.update_dataset()
        self.trainer_dist_adapter.update_model(task.get(MyMessage.MSG_ARG_KEY_MODEL_PARAMS))
        self._trainer.evaluation = None
        if self.round_idx > 0:
            self.trainer_dist_adapter.test(self.round_idx)
        if self.round_idx < self.num_rounds:
            self._show("training", [])
            self._trainer.restore_local(self._local_state.load(self._run, task.get("counted")))
            self._ClientMasterManager__train()
        else:
            self._send_evaluation()

    def send_model_to_server(self, receive_id: int, weights: OrderedDict[str, Tensor], local_sample_num: int) -> None:
        """Answer a round: the update, and the evaluation of the model that came with the task."""
        remembered = self._trainer.local_state()
        if remembered is not None:
            self._local_state.save(self._run, self.round_idx, remembered)
        evaluated = self._trainer.metrics()
        fitted = {"train_loss": self._trainer.train_loss, "fit_seconds": round(self._trainer.fit_seconds, 6)}
        message = self._answer(MyMessage.MSG_TYPE_C2S_SEND_MODEL_TO_SERVER, {**fitted, **evaluated})
        message.add_params(MyMessage.MSG_ARG_KEY_MODEL_PARAMS, weights)
        message.add_params(MyMessage.MSG_ARG_KEY_NUM_SAMPLES, local_sample_num)
        self.send_message(message)
        self._results.round(
            {"round": self.round_idx, "rounds": self.num_rounds, "samples": local_sample_num, **fitted, **evaluated}
        )

    def _send_evaluation(self) -> None:
        evaluated = self._trainer.metrics()
        self.send_message(self._answer(MyMessage.MSG_TYPE_C2S_SEND_STATS_TO_SERVER, evaluated))
        self._results.round({"round": self.round_idx, "rounds": self.num_rounds, **evaluated})
        self._trainer.tell_details()

    def _answer(self, kind: int, metrics: dict[str, Any]) -> Message:
        message = Message(kind, 1, 0)
        message.add_params("run", self._run)
        message.add_params("round", self.round_idx)
        message.add_params("edition", self._edition)
        message.add_params("metrics", metrics)
        return message

    def _show(self, phase: str, waiting_for: list[str]) -> None:
        self._results.progress(round_=self.round_idx, rounds=self.num_rounds, phase=phase, waiting_for=waiting_for)

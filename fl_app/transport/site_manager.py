"""A site's communication manager: what it sends passes the guard, and what compression keeps is added to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.config import RunConfig
from fl_app.errors import FlAppError, WithheldError
from fl_app.transport.address import real_address
from fl_app.transport.audit import AuditLog
from fl_app.transport.compression import Feedback, is_half, pack
from fl_app.transport.events import Event, Joined, Received
from fl_app.transport.guard import EgressGuard
from fl_app.transport.identity import Credentials
from fl_app.transport.letters import TO_SITE, to_envelope, to_message
from fl_app.transport.link import AGGREGATOR, Link
from fl_app.transport.queue_manager import LOCAL_JOINED, QueueManager
from fl_app.transport.renewal import Watcher
from fl_app.transport.wire import encode_header, encode_tensors

from fedml.core.distributed.communication.message import Message  # isort: skip

_FLUSH_SECONDS = 5.0


class SiteManager(QueueManager):
    """A site's: rank 1 to its FedML, whatever the hub's roster says, and one link to the aggregator."""

    def __init__(
        self, config: RunConfig, credentials: Credentials, *, audit: AuditLog, guard: EgressGuard, state: Path
    ) -> None:
        """Dial the aggregator.

        Args:
            config: the site's run files.
            credentials: its own.
            audit: where every message is recorded.
            guard: what may leave.
            state: where what compression keeps is kept.
        """
        super().__init__()
        self._node, self._audit, self._guard = config.node, audit, guard
        audit.tell(self.post)
        audit.open()
        self._compression = config.compression
        self._feedback = Feedback(config.compression, state / "rest") if is_half(config.compression) else None
        self._base: Mapping[str, Tensor] = {}
        self._counted: int | None = None
        self._newest: tuple[Any, Any, Any] | None = None
        self.link = Link(
            planned=config.aggregator,
            real=real_address(config.aggregator),
            credentials=credentials,
            tls_name=config.tls_name_of_aggregator,
            limit=config.message_limit,
            deliver=self._arrived,
            audit=audit,
            compression=config.compression,
            look_for_credentials=self._look,
        )
        self._watcher = Watcher(credentials, self._renew)
        self.link.start()
        self._watcher.start()

    def send_message(self, msg: Message) -> None:
        """Queue a message for the aggregator; it goes out when the stream is open.

        Raises:
            WithheldError: it holds what the site has not declared; nothing of it leaves.
        """
        envelope = to_envelope(msg, sender=self._node, receiver=AGGREGATOR)
        try:
            self._guard.check(envelope)
        except WithheldError as error:
            self._audit.note("withheld", AGGREGATOR, error.args[0], kind=envelope.kind)
            raise
        if self._feedback and envelope.tensors is not None:
            run, round_ = envelope.fields["run"], envelope.fields["round"]
            sent = self._feedback.shorten(run, round_, envelope.tensors, self._base, self._counted)
            envelope = replace(envelope, tensors=sent)
        self.link.send(encode_header(envelope), pack(encode_tensors(envelope.tensors), self._compression))

    def stop_receive_message(self) -> None:
        """End the loop, after what is queued has arrived."""
        self.link.flush(_FLUSH_SECONDS)
        super().stop_receive_message()

    def flush(self, seconds: float) -> None:
        """Wait until the aggregator has everything, or the time is over."""
        self.link.flush(seconds)

    def is_outdated(self, run: str, round_: int, edition: str) -> bool:
        """Say whether another task than this one has arrived meanwhile; safe to ask on any thread."""
        return self._newest is not None and self._newest != (run, round_, edition)

    def close(self) -> None:
        """End the stream."""
        self._watcher.close()
        self.link.close()
        self._audit.close()

    def _look(self) -> bool:
        return self._watcher.look()

    def _renew(self, credentials: Credentials) -> None:
        self._audit.renew(credentials)
        self.link.renew(credentials)

    def _arrived(self, event: Event) -> None:
        """Remember the newest task at once, on the link's thread: the loop may be in the middle of a fit."""
        if isinstance(event, Received) and event.envelope.kind in TO_SITE:
            fields = event.envelope.fields  # the end of a run is a task without a round
            self._newest = (fields["run"], fields.get("round"), fields.get("edition"))
        elif isinstance(event, Joined):  # a new process of the aggregator, which gives its own tasks
            self._newest = ("", None, None)
        self.post(event)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Received):
            envelope = event.envelope
            if envelope.kind not in TO_SITE:
                raise FlAppError(f"The aggregator sent {envelope.kind!r}, which only sites send.")
            if "round" in envelope.fields:
                self._guard.task(envelope.fields["run"], envelope.fields["round"])
            if self._feedback and envelope.tensors is not None:
                self._base = {name: tensor.clone() for name, tensor in envelope.tensors.items()}
                self._counted = envelope.fields["counted"]
            self._notify(to_message(event.envelope, sender_rank=0, receiver_rank=1))
        elif isinstance(event, Joined):
            self._notify(Message(LOCAL_JOINED, 0, 1))

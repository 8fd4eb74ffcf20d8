"""FedML's communication managers on this wire: one queue, one thread that works on it, timers, and no busy loop."""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from torch import Tensor

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.config import RunConfig
from fl_app.errors import FlAppError, WithheldError
from fl_app.transport import tensors as tensors_
from fl_app.transport.address import real_address
from fl_app.transport.audit import AuditLog
from fl_app.transport.compression import Feedback, is_half, lengthen, pack
from fl_app.transport.events import Event, Expelled, Failed, Joined, Left, Local, Received, Returned
from fl_app.transport.guard import EgressGuard
from fl_app.transport.hashing import BodyHash
from fl_app.transport.hub import Hub
from fl_app.transport.identity import Credentials
from fl_app.transport.json_text import WireError
from fl_app.transport.letters import TO_AGGREGATOR, TO_SITE, to_envelope, to_message
from fl_app.transport.link import AGGREGATOR, Link
from fl_app.transport.memory import Buffer
from fl_app.transport.renewal import Watcher
from fl_app.transport.wire import check, encode_header, encode_tensors

from fedml.core.distributed.communication.base_com_manager import BaseCommunicationManager  # isort: skip
from fedml.core.distributed.communication.message import Message  # isort: skip
from fedml.cross_silo.server.message_define import MyMessage  # isort: skip

#: Messages that never leave the process; FedML's own types are below 100.
LOCAL_JOINED, LOCAL_LEFT, LOCAL_RETURNED, LOCAL_EXPELLED = 901, 902, 903, 904
LOCAL_TICK, LOCAL_DEADLINE, LOCAL_FAREWELL = 911, 912, 913
LOCAL_STOP, LOCAL_STOP_NOW, LOCAL_CANCEL = 921, 922, 923

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 5.0
#: A signal that comes just before the loop begins to wait does not wake it: Python runs handlers between two bytecodes.
_LONGEST_WAIT = 1.0


class Observer(Protocol):
    """FedML's manager: it is told of every message."""

    def receive_message(self, msg_type: int, msg_params: Message) -> None:
        """Handle one message."""


class QueueManager(BaseCommunicationManager):  # type: ignore[misc]  # FedML is not typed
    """Hands messages, timers and the wish to stop to FedML's handlers, all on the thread that calls the loop."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        self._timers: list[tuple[float, int, Message]] = []
        self._order = itertools.count()
        self._observers: list[Observer] = []
        self._running = True

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer of every message from now on."""
        self._observers.append(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Tell it no more."""
        self._observers.remove(observer)

    def post(self, event: Event | BaseException | None) -> None:
        """Queue an event; any thread may, and signal handlers. An exception is raised in the loop."""
        self._inbox.put(event)

    def call_later(self, seconds: float, message: Message) -> None:
        """Hand a message to the observers after some seconds. Only the loop's thread may call this."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), message))

    def handle_receive_message(self) -> None:
        """Work until stopped: the loop of the process."""
        self._notify(Message(MyMessage.MSG_TYPE_CONNECTION_IS_READY, 0, 0))
        while self._running:
            event = self._next()
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Local):
                self._notify(Message(event.kind, 0, 0))
            elif event is not None:
                self._handle(event)

    def stop_receive_message(self) -> None:
        """End the loop after the message that is being handled."""
        self._running = False
        self.post(None)

    def close(self) -> None:
        """Release the wire."""
        raise NotImplementedError

    def _next(self) -> Event | BaseException | None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._notify(heapq.heappop(self._timers)[2])
            if not self._running:
                return None
        try:
            due = self._timers[0][0] - now if self._timers else _LONGEST_WAIT
            return self._inbox.get(timeout=min(max(0.0, due), _LONGEST_WAIT))
        except Empty:
            return None

    def _notify(self, message: Message) -> None:
        for observer in list(self._observers):
            observer.receive_message(message.get_type(), message)

    def _handle(self, event: Event) -> None:
        raise NotImplementedError


class Places(Protocol):
    """Site to FedML's rank and back."""

    def of(self, site: str) -> int:
        """Return a site's rank."""

    def site(self, rank: int) -> str:
        """Return a rank's site."""


class HubManager(QueueManager):
    """The aggregator's: rank 0 to FedML, and the only place that knows which site has which rank."""

    def __init__(
        self,
        config: RunConfig,
        credentials: Credentials,
        *,
        audit: AuditLog,
        declared: Mapping[str, Tensor],
        ranks: Places,
    ) -> None:
        """Listen for the roster's sites.

        Args:
            config: the aggregator's run files.
            credentials: its own.
            audit: where every message is recorded.
            declared: the tensors of an update: what a site sends is no larger.
            ranks: of every site that was ever admitted.

        Raises:
            ConfigError: the address cannot be bound.
        """
        super().__init__()
        self._ranks = ranks
        self._encoded: tuple[Mapping[str, Tensor], Buffer, BodyHash] | None = None
        self._audit, self._compression = audit, config.compression
        self._packed: tuple[Buffer, Buffer, BodyHash] | None = None
        audit.tell(self.post)
        self.hub = Hub(
            listen=real_address(config.aggregator),
            credentials=credentials,
            roster=config.roster,
            limit=min(config.message_limit, tensors_.encoded_size(declared)),
            deliver=self.post,
            audit=audit,
            compression=config.compression,
        )
        self.hub.start()
        self._watcher = Watcher(credentials, self._renew)
        self._watcher.start()

    def send_message(self, msg: Message) -> None:
        """Queue a message for a site. Never waits: a dead site delays nobody."""
        site = self._ranks.site(int(msg.get_receiver_id()))
        envelope = to_envelope(msg, sender=AGGREGATOR, receiver=site)
        check(envelope)
        body, hashed = self._body(envelope.tensors)
        self.hub.send(site, encode_header(envelope), body, hashed=hashed)

    def admit(self, roster: Iterable[str]) -> None:
        """Admit the sites of this roster from now on, and no others."""
        self.hub.admit(roster)

    def serials(self) -> dict[str, str]:
        """Return the serial number of the certificate that each site had last."""
        return self.hub.admission.serials()

    def remember(self, serials: Mapping[str, str]) -> None:
        """Know them again after a restart."""
        self.hub.admission.remember(serials)

    def flush(self, seconds: float) -> None:
        """Wait until the sites that are connected have everything, or the time is over."""
        self.hub.flush(seconds)

    def dropped(self, site: str, reason: str) -> None:
        """Count and log a message of a site that is not worked on."""
        self.hub.dropped(site, reason)

    def refuse(self, site: str, reason: str) -> None:
        """End a site's stream because of what it sent."""
        self.hub.refuse(site, reason)

    def close(self) -> None:
        """End all streams and stop listening."""
        self._watcher.close()
        self.hub.stop()
        for reason, times in self.hub.refused.most_common():
            _log.info("refused %d times: %s", times, reason)
        self._audit.close()

    def _renew(self, credentials: Credentials) -> None:
        self._audit.renew(credentials)
        self.hub.renew(credentials)

    def _body(self, tensors: Mapping[str, Tensor] | None) -> tuple[Buffer, BodyHash | None]:
        """Encode and hash a model once for all the sites that get the same object."""
        if tensors is None:
            return b"", None
        body, hashed = self.encoded(tensors)
        if self._compression != "zstd":
            return body, hashed
        if self._packed is None or self._packed[0] is not body:
            packed = pack(body, self._compression)
            self._packed = (body, packed, BodyHash(packed))
        return self._packed[1:]

    def adopt(self, tensors: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
        """Encode a model for sending and return it as views on that: it is in memory once."""
        body = encode_tensors(tensors)
        views = tensors_.decode(tensors, body)
        self._encoded = (views, body, BodyHash(body))
        return views

    def encoded(self, tensors: Mapping[str, Tensor]) -> tuple[Buffer, BodyHash]:
        """Return a model as safetensors, and the SHA-256 of that; made once for one object."""
        if self._encoded is None or self._encoded[0] is not tensors:
            body = encode_tensors(tensors)
            self._encoded = (tensors, body, BodyHash(body))
        return self._encoded[1:]

    def _handle(self, event: Event) -> None:
        local = {Joined: LOCAL_JOINED, Left: LOCAL_LEFT, Returned: LOCAL_RETURNED, Expelled: LOCAL_EXPELLED}
        if isinstance(event, Received):
            envelope = event.envelope
            self.hub.done_with(envelope.sender)
            if envelope.kind not in TO_AGGREGATOR:
                self.refuse(envelope.sender, f"a site does not send {envelope.kind!r}")
                return
            if envelope.tensors is not None and is_half(self._compression):
                if self._encoded is None:
                    return
                try:
                    whole = lengthen(envelope.tensors, self._encoded[0], self._compression)
                except WireError as error:
                    self.refuse(envelope.sender, str(error))
                    return
                envelope = replace(envelope, tensors=whole)
            self._notify(to_message(envelope, sender_rank=self._ranks.of(envelope.sender), receiver_rank=0))
        elif isinstance(event, Joined | Left | Returned | Expelled):
            self._notify(Message(local[type(event)], self._ranks.of(event.peer), 0))


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

"""FedML's communication managers on this wire: one queue, one thread that works on it, timers, and no busy loop."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from torch import Tensor

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.config import RunConfig
from fl_app.errors import FlAppError, WithheldError
from fl_app.transport import tensors as tensors_
from fl_app.transport.address import real_address
from fl_app.transport.audit import AuditLog
from fl_app.transport.events import Event, Failed, Joined, Left, Received, Returned
from fl_app.transport.guard import EgressGuard
from fl_app.transport.hub import Hub
from fl_app.transport.identity import Credentials
from fl_app.transport.letters import TO_AGGREGATOR, TO_SITE, to_envelope, to_message
from fl_app.transport.link import AGGREGATOR, Link
from fl_app.transport.memory import Buffer
from fl_app.transport.renewal import Watcher
from fl_app.transport.wire import check, encode_header, encode_tensors

from fedml.core.distributed.communication.base_com_manager import BaseCommunicationManager  # isort: skip
from fedml.core.distributed.communication.message import Message  # isort: skip
from fedml.cross_silo.server.message_define import MyMessage  # isort: skip

#: Messages that never leave the process; FedML's own types are below 100.
LOCAL_JOINED, LOCAL_LEFT, LOCAL_RETURNED, LOCAL_TICK, LOCAL_DEADLINE, LOCAL_FAREWELL = 901, 902, 903, 904, 905, 906

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 5.0


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
            if event is not None:
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
            return self._inbox.get(timeout=max(0.0, self._timers[0][0] - now) if self._timers else None)
        except Empty:
            return None

    def _notify(self, message: Message) -> None:
        for observer in list(self._observers):
            observer.receive_message(message.get_type(), message)

    def _handle(self, event: Event) -> None:
        raise NotImplementedError


class HubManager(QueueManager):
    """The aggregator's: rank 0 to FedML, and the only place that knows which site has which rank."""

    def __init__(
        self, config: RunConfig, credentials: Credentials, *, audit: AuditLog, declared: Mapping[str, Tensor]
    ) -> None:
        """Listen for the roster's sites.

        Args:
            config: the aggregator's run files.
            credentials: its own.
            audit: where every message is recorded.
            declared: the model's tensors: what a site sends is no larger.

        Raises:
            ConfigError: the address cannot be bound.
        """
        super().__init__()
        self._rank_of = {site: rank for rank, site in enumerate(config.roster, start=1)}
        self._site_of = {rank: site for site, rank in self._rank_of.items()}
        self._encoded: tuple[Mapping[str, Tensor], Buffer, hashlib._Hash] | None = None
        self._audit = audit
        audit.tell(self.post)
        self.hub = Hub(
            listen=real_address(config.aggregator),
            credentials=credentials,
            roster=config.roster,
            limit=min(config.message_limit, tensors_.encoded_size(declared)),
            deliver=self.post,
            audit=audit,
        )
        self.hub.start()
        self._watcher = Watcher(credentials, self._renew)
        self._watcher.start()

    def send_message(self, msg: Message) -> None:
        """Queue a message for a site. Never waits: a dead site delays nobody."""
        site = self._site_of[int(msg.get_receiver_id())]
        envelope = to_envelope(msg, sender=AGGREGATOR, receiver=site)
        check(envelope)
        body, hashed = self._body(envelope.tensors)
        self.hub.send(site, encode_header(envelope), body, hashed=hashed)

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

    def _body(self, tensors: Mapping[str, Tensor] | None) -> tuple[Buffer, hashlib._Hash | None]:
        """Encode and hash a model once for all the sites that get the same object."""
        if tensors is None:
            return b"", None
        return self.encoded(tensors)

    def adopt(self, tensors: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
        """Encode a model for sending and return it as views on that: it is in memory once."""
        body = encode_tensors(tensors)
        views = tensors_.decode(tensors, body)
        self._encoded = (views, body, hashlib.sha256(body))
        return views

    def encoded(self, tensors: Mapping[str, Tensor]) -> tuple[Buffer, hashlib._Hash]:
        """Return a model as safetensors, and its SHA-256 as it stands after it; made once for one object."""
        if self._encoded is None or self._encoded[0] is not tensors:
            body = encode_tensors(tensors)
            self._encoded = (tensors, body, hashlib.sha256(body))
        return self._encoded[1:]

    def _handle(self, event: Event) -> None:
        local = {Joined: LOCAL_JOINED, Left: LOCAL_LEFT, Returned: LOCAL_RETURNED}
        if isinstance(event, Received):
            envelope = event.envelope
            self.hub.done_with(envelope.sender)
            if envelope.kind not in TO_AGGREGATOR:
                self.refuse(envelope.sender, f"a site does not send {envelope.kind!r}")
                return
            self._notify(to_message(envelope, sender_rank=self._rank_of[envelope.sender], receiver_rank=0))
        elif isinstance(event, Joined | Left | Returned):
            self._notify(Message(local[type(event)], self._rank_of[event.peer], 0))


class SiteManager(QueueManager):
    """A site's: rank 1 to its FedML, whatever the hub's roster says, and one link to the aggregator."""

    def __init__(self, config: RunConfig, credentials: Credentials, *, audit: AuditLog, guard: EgressGuard) -> None:
        """Dial the aggregator.

        Args:
            config: the site's run files.
            credentials: its own.
            audit: where every message is recorded.
            guard: what may leave.
        """
        super().__init__()
        self._node, self._audit, self._guard = config.node, audit, guard
        audit.tell(self.post)
        audit.open()
        self._newest: tuple[Any, Any] | None = None
        self.link = Link(
            planned=config.aggregator,
            real=real_address(config.aggregator),
            credentials=credentials,
            tls_name=config.tls_name_of_aggregator,
            limit=config.message_limit,
            deliver=self._arrived,
            audit=audit,
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
        self.link.send(encode_header(envelope), encode_tensors(envelope.tensors))

    def stop_receive_message(self) -> None:
        """End the loop, after what is queued has arrived."""
        self.link.flush(_FLUSH_SECONDS)
        super().stop_receive_message()

    def is_outdated(self, message: Message) -> bool:
        """Say whether a newer task than this one has arrived meanwhile."""
        return self._newest is not None and self._newest != (message.get("run"), message.get("round"))

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
        if isinstance(event, Received) and event.envelope.kind in ("init", "sync"):
            self._newest = (event.envelope.fields["run"], event.envelope.fields["round"])
        self.post(event)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Received):
            envelope = event.envelope
            if envelope.kind not in TO_SITE:
                raise FlAppError(f"The aggregator sent {envelope.kind!r}, which only sites send.")
            if "round" in envelope.fields:
                self._guard.task(envelope.fields["run"], envelope.fields["round"])
            self._notify(to_message(event.envelope, sender_rank=0, receiver_rank=1))
        elif isinstance(event, Joined):
            self._notify(Message(LOCAL_JOINED, 0, 1))

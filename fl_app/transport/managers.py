"""FedML's communication managers on this wire: one queue, one thread that works on it, timers, and no busy loop."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from torch import Tensor

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.config import RunConfig
from fl_app.errors import FlAppError
from fl_app.transport.address import real_address
from fl_app.transport.events import Event, Failed, Joined, Left, Received, Returned
from fl_app.transport.hub import Hub
from fl_app.transport.identity import Credentials
from fl_app.transport.letters import TO_AGGREGATOR, TO_SITE, to_envelope, to_message
from fl_app.transport.link import Link
from fl_app.transport.wire import check, encode_header, encode_tensors

from fedml.core.distributed.communication.base_com_manager import BaseCommunicationManager  # isort: skip
from fedml.core.distributed.communication.message import Message  # isort: skip
from fedml.cross_silo.server.message_define import MyMessage  # isort: skip

#: Messages that never leave the process; FedML's own types are below 100.
LOCAL_JOINED, LOCAL_LEFT, LOCAL_RETURNED, LOCAL_TICK, LOCAL_DEADLINE, LOCAL_FAREWELL = 901, 902, 903, 904, 905, 906

AGGREGATOR = "aggregator"
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

    def __init__(self, config: RunConfig, credentials: Credentials) -> None:
        """Listen for the roster's sites.

        Raises:
            ConfigError: the address cannot be bound.
        """
        super().__init__()
        self._rank_of = {site: rank for rank, site in enumerate(config.roster, start=1)}
        self._site_of = {rank: site for site, rank in self._rank_of.items()}
        self._encoded: tuple[Mapping[str, Tensor], bytes] | None = None
        self.hub = Hub(
            listen=real_address(config.aggregator),
            credentials=credentials,
            roster=config.roster,
            limit=config.message_limit,
            deliver=self.post,
        )
        self.hub.start()

    def send_message(self, msg: Message) -> None:
        """Queue a message for a site. Never waits: a dead site delays nobody."""
        site = self._site_of[int(msg.get_receiver_id())]
        envelope = to_envelope(msg, sender=AGGREGATOR, receiver=site)
        check(envelope)
        self.hub.send(site, encode_header(envelope), self._body(envelope.tensors))

    def refuse(self, site: str, reason: str) -> None:
        """End a site's stream because of what it sent."""
        self.hub.refuse(site, reason)

    def close(self) -> None:
        """End all streams and stop listening."""
        self.hub.stop()

    def _body(self, tensors: Mapping[str, Tensor] | None) -> bytes:
        """Encode a model once for all the sites that get the same object."""
        if tensors is None:
            return b""
        if self._encoded is None or self._encoded[0] is not tensors:
            self._encoded = (tensors, encode_tensors(tensors))
        return self._encoded[1]

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

    def __init__(self, config: RunConfig, credentials: Credentials) -> None:
        """Dial the aggregator."""
        super().__init__()
        self._node = config.node
        self._newest: tuple[Any, Any] | None = None
        self.link = Link(
            planned=config.aggregator,
            real=real_address(config.aggregator),
            credentials=credentials,
            tls_name=config.tls_name_of_aggregator,
            limit=config.message_limit,
            deliver=self._arrived,
        )
        self.link.start()

    def send_message(self, msg: Message) -> None:
        """Queue a message for the aggregator; it goes out when the stream is open."""
        envelope = to_envelope(msg, sender=self._node, receiver=AGGREGATOR)
        check(envelope)
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
        self.link.close()

    def _arrived(self, event: Event) -> None:
        """Remember the newest task at once, on the link's thread: the loop may be in the middle of a fit."""
        if isinstance(event, Received) and event.envelope.kind in ("init", "sync"):
            self._newest = (event.envelope.fields["run"], event.envelope.fields["round"])
        self.post(event)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Received):
            if event.envelope.kind not in TO_SITE:
                raise FlAppError(f"The aggregator sent {event.envelope.kind!r}, which only sites send.")
            self._notify(to_message(event.envelope, sender_rank=0, receiver_rank=1))
        elif isinstance(event, Joined):
            self._notify(Message(LOCAL_JOINED, 0, 1))

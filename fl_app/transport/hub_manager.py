"""The aggregator's communication manager: it alone knows which site has which rank, and keeps what is sent encoded."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from torch import Tensor

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.config import RunConfig
from fl_app.transport import tensors as tensors_
from fl_app.transport.address import real_address
from fl_app.transport.audit import AuditLog
from fl_app.transport.compression import is_half, lengthen, pack
from fl_app.transport.events import Event, Expelled, Joined, Left, Received, Returned
from fl_app.transport.hashing import BodyHash
from fl_app.transport.hub import Hub
from fl_app.transport.identity import Credentials
from fl_app.transport.json_text import WireError
from fl_app.transport.letters import TO_AGGREGATOR, to_envelope, to_message
from fl_app.transport.link import AGGREGATOR
from fl_app.transport.memory import Buffer
from fl_app.transport.queue_manager import LOCAL_EXPELLED, LOCAL_JOINED, LOCAL_LEFT, LOCAL_RETURNED, QueueManager
from fl_app.transport.renewal import Watcher
from fl_app.transport.wire import check, encode_header, encode_tensors

from fedml.core.distributed.communication.message import Message  # isort: skip

_log = logging.getLogger(__name__)


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

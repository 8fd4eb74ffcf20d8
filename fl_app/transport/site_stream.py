"""One live stream of one site, as the hub holds it: what has come on it, what may still come, and why it ends."""

from __future__ import annotations

import threading

from cryptography import x509

from fl_app.transport.admission import Refusal
from fl_app.transport.frames import Ack, Assembler, Letter
from fl_app.transport.json_text import WireError
from fl_app.transport.session import Session, StreamWriter

#: A message may take this long, and longer only as fast as this many bytes a second bring it.
_MESSAGE_SECONDS = 30.0
_SLOWEST_BYTES = 64 << 10
#: A site sends at most two messages for each that it gets, and these; what comes twice is tolerated this often.
_FREE_MESSAGES = 8
_REPEATED_MESSAGES = 16


class SiteStream:
    """A stream that was admitted; one thread reads it, any may end it.

    Args:
        site: whose it is.
        writer: what this side writes into it.
        certificate: with which it was admitted.
        assembler: makes messages of what the site writes.
    """

    def __init__(self, site: str, writer: StreamWriter, certificate: x509.Certificate, assembler: Assembler) -> None:
        self.site = site
        self.writer = writer
        self.certificate = certificate
        self.assembler = assembler
        self.greeted = threading.Event()
        self.refusal: Refusal | None = None
        self._last_ack = 0
        self._repeated = 0

    def end(self, refusal: Refusal | None = None) -> None:
        """End it from this side; the first reason counts."""
        self.refusal = self.refusal or refusal
        self.writer.close()
        self.greeted.set()

    def is_too_slow(self, now: float) -> bool:
        """Say whether the message that is under way has taken too long."""
        return self.assembler.is_overdue(now, grace=_MESSAGE_SECONDS, rate=_SLOWEST_BYTES)

    def acknowledged(self, ack: Ack, session: Session) -> None:
        """Take an acknowledgement.

        Raises:
            WireError: it came before, or is of nothing that was sent.
        """
        if ack.number <= self._last_ack:
            raise WireError(f"message {ack.number} is acknowledged again")
        self._last_ack = ack.number
        session.acknowledged(ack)

    def check_due(self, letter: Letter, session: Session) -> None:
        """Hold a message's number against what the site had and has sent.

        Raises:
            WireError: it is not due.
        """
        received, queued = session.counts
        if letter.number > received + 1:
            raise WireError(f"message {letter.number} comes after message {received}")
        self._repeated += letter.number <= received
        if self._repeated > _REPEATED_MESSAGES:
            raise WireError("messages that were received come again and again")
        if received > _FREE_MESSAGES + 2 * queued:
            raise WireError(f"{received} messages, for {queued} that the aggregator had")

"""What the aggregator knows of a run so far, besides the current round: it goes into every checkpoint."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from fl_app.rounds.book import RoundBook
from fl_app.rounds.checkpoint import Progress
from fl_app.rounds.records import Record
from fl_app.rounds.stopping import Best


@dataclass(slots=True)
class Ledger:
    """The run's facts.

    Attributes:
        run: its name, random; it is part of every message, and of file names at the sites.
        started_at: wall-clock second at which it began.
        pending: the record of the last closed round, whose model is not evaluated yet.
        counted: site to the last round in which its update counted.
        took_part: site to the number of rounds in which it did.
        data: site to the SHA-256 of its data.
        expelled: sites whose certificate was revoked.
        serials: site to the serial number, hexadecimal, of the certificate that it had last.
        best: the best model so far, by the metric of early stopping.
        finished: the results are written.
        told: the sites know it, or were given the time to ask.
        start: what the operator calls this start.
    """

    run: str = field(default_factory=lambda: secrets.token_hex(8))
    started_at: float = field(default_factory=time.time)
    pending: Record | None = None
    counted: dict[str, int] = field(default_factory=dict)
    took_part: dict[str, int] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    expelled: set[str] = field(default_factory=set)
    serials: dict[str, str] = field(default_factory=dict)
    best: Best | None = None
    finished: bool = False
    told: bool = False
    start: str = ""

    @classmethod
    def of(cls, progress: Progress, *, start: str = "") -> Ledger:
        """Go on from a checkpoint, in a start of this name."""
        return cls(
            run=progress.run,
            started_at=progress.started_at,
            pending=progress.pending,
            counted=dict(progress.counted),
            took_part=dict(progress.took_part),
            data=dict(progress.data),
            expelled=set(progress.expelled),
            serials=dict(progress.serials),
            best=Best(*progress.best) if progress.best else None,
            finished=progress.finished,
            start=start,
        )

    def closed(self, record: Record) -> None:
        """Take a round's record: the updates in it have counted."""
        self.pending = record
        for site in record["answered"]:
            self.counted[site] = record["round"]
            self.took_part[site] = self.took_part.get(site, 0) + 1

    def progress(self, book: RoundBook, fingerprint: str) -> Progress:
        """Return where the run stands, to be made durable."""
        return Progress(
            run=self.run,
            fingerprint=fingerprint,
            next_round=book.round,
            finished=self.finished,
            told=self.told,
            start=self.start,
            pending=self.pending,
            samples=dict(book.samples),
            started_at=self.started_at,
            members=list(book.members),
            asked=list(book.asked),
            ends_after=book.ends_after,
            counted=dict(self.counted),
            took_part=dict(self.took_part),
            took=book.deadline.known(),
            data=dict(self.data),
            expelled=sorted(self.expelled),
            serials=dict(self.serials),
            best=(self.best.value, self.best.round) if self.best else None,
        )

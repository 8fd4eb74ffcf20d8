"""The aggregator's memory of a run: one file a round, whole, checksummed and durable, the last few kept.

A file is a line with a mark and a SHA-256, a line of JSON, the global state as safetensors, and what the aggregation
keeps for itself likewise. The SHA-256 is that of the global state, which is hashed for the wire already, then the
SHA-256 of the rest and the line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from fl_app.errors import StateError
from fl_app.rounds.files import make_folder, write_atomically
from fl_app.transport import tensors as tensors_
from fl_app.transport.hashing import BodyHash
from fl_app.transport.json_text import WireError
from fl_app.transport.memory import Buffer, buffer

_log = logging.getLogger(__name__)

_MARK = b"federate-checkpoint-3 "


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        run: the run's name, random.
        fingerprint: of the settings that the model depends on; another one is another run.
        next_round: the round to open next; the number of rounds when only the evaluation is missing.
        finished: all is written, and the sites are being told.
        told: the sites know that all is done, or were given the time to ask.
        start: what the operator calls the start that ended with this.
        pending: the record of the last closed round, which still lacks its evaluation.
        samples: site to samples of its last update.
        started_at: wall-clock second at which the run began.
        members: the sites that take part.
        asked: the sites that are asked in the next round; they are drawn if there are none.
        ends_after: rounds after which the run ends early, once that is decided.
        counted: site to the last round in which its update counted.
        took_part: site to the number of rounds in which it did.
        took: site to seconds of its last answers, for the adaptive deadline.
        data: site to the SHA-256 of its data, as it said it.
        expelled: sites whose certificate was revoked.
        serials: site to the serial number of the certificate that it had last.
        best: value and round of the best model so far, by the metric of early stopping.
    """

    run: str
    fingerprint: str
    next_round: int
    finished: bool
    pending: dict[str, Any] | None
    samples: dict[str, int]
    started_at: float
    members: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ends_after: int | None = None
    counted: dict[str, int] = field(default_factory=dict)
    took_part: dict[str, int] = field(default_factory=dict)
    took: dict[str, list[float]] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    expelled: list[str] = field(default_factory=list)
    serials: dict[str, str] = field(default_factory=dict)
    best: tuple[float, int] | None = None
    told: bool = False
    start: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint: where the run stands, the global state, and what the aggregation keeps."""

    progress: Progress
    state: OrderedDict[str, Tensor]
    kept: OrderedDict[str, Tensor]


class Checkpoints:
    """The checkpoints in a folder."""

    def __init__(self, folder: Path, *, keep: int = 3) -> None:
        """Use this folder, and keep the newest ``keep`` files; it is made if it is not there."""
        self._folder, self._keep = make_folder(folder), keep
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future[None] | None = None

    def save(
        self,
        progress: Progress,
        state: OrderedDict[str, Tensor],
        *,
        kept: Mapping[str, Tensor] | None = None,
        encoded: tuple[Buffer, BodyHash] | None = None,
    ) -> None:
        """Write where the run stands, and forget all but the last few.

        Args:
            progress: where it stands.
            state: the global state.
            kept: what the aggregation keeps for itself.
            encoded: the state as safetensors and its SHA-256, if the caller has them.

        Raises:
            StateError: it cannot be written; the checkpoint before is still there.
        """
        if encoded is None:
            made = tensors_.encode(state)
            encoded = made, BodyHash(made)
        body, hashed = encoded
        rest = tensors_.encode(kept) if kept else b""
        described = {"tensors": list(state), "bytes": len(body), "kept": list(kept or ())}
        told = json.dumps({**asdict(progress), **described}, allow_nan=False).encode()
        name = f"{progress.next_round + progress.finished + progress.told:08d}.checkpoint"
        head = _MARK + _digest(hashed, rest, told) + b"\n" + told + b"\n"
        write_atomically(self._folder / name, [head, body, rest])
        for old in self._files()[: -self._keep]:
            old.unlink(missing_ok=True)

    def save_later(
        self,
        progress: Progress,
        state: OrderedDict[str, Tensor],
        *,
        kept: Mapping[str, Tensor] | None = None,
        encoded: tuple[Buffer, BodyHash],
        before: Callable[[], None],
    ) -> None:
        """Do as :meth:`save` on another thread, after the last one is done; ``before`` is called first, there.

        Raises:
            StateError: the last one could not be written.
        """
        self.wait()

        def work() -> None:
            before()
            self.save(progress, state, kept=kept, encoded=encoded)

        self._saving = self._thread.submit(work)

    def wait(self) -> None:
        """Wait until what was given to :meth:`save_later` is durable.

        Raises:
            StateError: it could not be written.
        """
        saving, self._saving = self._saving, None
        if saving:
            saving.result()

    def load(self, fingerprint: str, *, start: str = "") -> Found | None:
        """Return the newest checkpoint that is whole, or None for a new run.

        Args:
            fingerprint: of today's settings; checkpoints of others are deleted with a warning.
            start: what the operator calls this start.

        Raises:
            StateError: there are checkpoints, and none of them is whole; or this same start was begun with other
                settings: they were changed in the middle of the run.
        """
        files = self._files()
        for path in reversed(files):
            try:
                found = _read(path)
            except StateError as error:
                _log.warning("%s; trying the one before", error)
                continue
            if found.progress.fingerprint != fingerprint and start and start == found.progress.start:
                raise StateError(
                    f"The training settings have changed since this run was started; it stands at round "
                    f"{found.progress.next_round + 1}.",
                    remedy="With the settings of before in federation.yaml, federate supply and federate start go on "
                    "with it. federate stop --cancel gives it up; the next start begins with the new ones.",
                )
            if found.progress.fingerprint != fingerprint:
                _log.warning("the checkpoint in %s is of other training settings: a new run begins", self._folder)
                self.clear()
                return None
            return found
        if files:
            raise StateError(
                f"Every checkpoint in {self._folder} is damaged.", remedy="Delete the folder to begin a new run."
            )
        return None

    def keep_newest(self) -> None:
        """Forget all but the newest."""
        for path in self._files()[:-1]:
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget the run."""
        self.wait()
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.checkpoint"))


def _digest(body: BodyHash, rest: Buffer, told: bytes) -> bytes:
    return body.with_header(hashlib.sha256(rest).digest() + told).encode()


def _read(path: Path) -> Found:
    try:
        with path.open("rb") as file:
            first, told = file.readline().rstrip(b"\n"), file.readline().rstrip(b"\n")
            left = max(0, path.stat().st_size - file.tell())
            body = buffer(min(left, _size_of_state(told)))
            file.readinto(body)
            rest = bytearray(file.read())
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    if first != _MARK + _digest(BodyHash(body), rest, told):
        raise StateError(f"{path} is damaged: its checksum does not hold")
    try:
        facts = json.loads(told)
        names, kept, best = facts.pop("tensors"), facts.pop("kept"), facts.pop("best")
        del facts["bytes"]
        progress = Progress(**facts, best=tuple(best) if best else None)
        own = tensors_.decode(kept, rest) if kept else OrderedDict()
        return Found(progress, tensors_.decode(names, body), own)
    except (ValueError, KeyError, TypeError, WireError) as error:
        raise StateError(f"{path} is of another version of the application: {error}") from None


def _size_of_state(told: bytes) -> int:
    """Return how many bytes the state has, as a line says that has not been checked yet; 0 where it is none."""
    try:
        size = json.loads(told)["bytes"]
    except (ValueError, KeyError, TypeError):
        return 0
    return size if isinstance(size, int) and size > 0 else 0

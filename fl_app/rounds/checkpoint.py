"""The aggregator's memory of a run: one file a round, whole, checksummed and durable, the last two kept.

A file is a line with a mark and a SHA-256, a line of JSON, and the global weights as safetensors. The SHA-256 is that
of the weights followed by the line of JSON: the weights are hashed for the wire already.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
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

_MARK = b"federate-checkpoint-2 "
_KEPT = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        run: the run's name, random.
        fingerprint: of the settings that the model depends on; another one is another run.
        next_round: the round to open next; the number of rounds when only the evaluation is missing.
        finished: all is written, and the sites are being told.
        pending: the record of the last closed round, which still lacks its evaluation.
        samples: site to samples of its last update.
        started_at: wall-clock second at which the run began.
    """

    run: str
    fingerprint: str
    next_round: int
    finished: bool
    pending: dict[str, Any] | None
    samples: dict[str, int]
    started_at: float


class Checkpoints:
    """The checkpoints in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use this folder; it is made if it is not there."""
        self._folder = make_folder(folder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future[None] | None = None

    def save(
        self,
        progress: Progress,
        state: OrderedDict[str, Tensor],
        *,
        encoded: tuple[Buffer, BodyHash] | None = None,
    ) -> None:
        """Write where the run stands, and forget all but the last two.

        Args:
            progress: where it stands.
            state: the global weights.
            encoded: the weights as safetensors and their SHA-256, if the caller has them.

        Raises:
            StateError: it cannot be written; the checkpoint before is still there.
        """
        told = json.dumps({**asdict(progress), "tensors": list(state)}, allow_nan=False).encode()
        if encoded is None:
            made = tensors_.encode(state)
            encoded = made, BodyHash(made)
        body, hashed = encoded
        name = f"{progress.next_round + progress.finished:08d}.checkpoint"
        write_atomically(self._folder / name, [_MARK + hashed.with_header(told).encode() + b"\n" + told + b"\n", body])
        for old in self._files()[:-_KEPT]:
            old.unlink(missing_ok=True)

    def save_later(
        self,
        progress: Progress,
        state: OrderedDict[str, Tensor],
        *,
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
            self.save(progress, state, encoded=encoded)

        self._saving = self._thread.submit(work)

    def wait(self) -> None:
        """Wait until what was given to :meth:`save_later` is durable.

        Raises:
            StateError: it could not be written.
        """
        saving, self._saving = self._saving, None
        if saving:
            saving.result()

    def load(self, fingerprint: str) -> tuple[Progress, OrderedDict[str, Tensor]] | None:
        """Return the newest checkpoint that is whole, or None for a new run.

        Args:
            fingerprint: of today's settings; checkpoints of others are deleted with a warning.

        Raises:
            StateError: there are checkpoints, and none of them is whole.
        """
        files = self._files()
        for path in reversed(files):
            try:
                found = _read(path)
            except StateError as error:
                _log.warning("%s; trying the one before", error)
                continue
            if found[0].fingerprint != fingerprint:
                _log.warning("the checkpoint in %s is of other training settings: a new run begins", self._folder)
                self.clear()
                return None
            return found
        if files:
            raise StateError(
                f"Every checkpoint in {self._folder} is damaged.", remedy="Delete the folder to begin a new run."
            )
        return None

    def clear(self) -> None:
        """Forget the run."""
        self.wait()
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.checkpoint"))


def _read(path: Path) -> tuple[Progress, OrderedDict[str, Tensor]]:
    try:
        with path.open("rb") as file:
            first, told = file.readline().rstrip(b"\n"), file.readline().rstrip(b"\n")
            weights = buffer(max(0, path.stat().st_size - file.tell()))
            file.readinto(weights)
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    if first != _MARK + BodyHash(weights).with_header(told).encode():
        raise StateError(f"{path} is damaged: its checksum does not hold")
    try:
        facts = json.loads(told)
        names = facts.pop("tensors")
        return Progress(**facts), tensors_.decode(names, weights)
    except (ValueError, KeyError, TypeError, WireError) as error:
        raise StateError(f"{path} is of another version of the application: {error}") from None

"""What an algorithm remembers at a site from one of its rounds to the next: SCAFFOLD's control variate, say.

The aggregator says with each task which of the site's updates counted last. The site goes on from what it remembered
in *that* round, so a fit whose update was lost, came too late or is asked for again leaves no trace, and a round that
is fitted twice gives the same bits.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fl_app.rounds.files import make_folder, write_atomically
from fl_app.transport import tensors as tensors_
from fl_app.transport.json_text import WireError

_log = logging.getLogger(__name__)

#: More than the checkpoints by which an aggregator may fall back.
_KEPT = 8
_DIGEST_BYTES = 32


class LocalState:
    """The states of the last rounds in a folder, one file each: a SHA-256, then safetensors."""

    def __init__(self, folder: Path) -> None:
        """Use this folder; it is made when there is something to remember."""
        self._folder = folder

    def save(self, run: str, round_: int, state: Mapping[str, Tensor]) -> None:
        """Remember what a fit has left, before its update is sent; states of other runs are forgotten.

        So are those of later rounds: the aggregator has gone back, and they were of models that are lost.

        Raises:
            StateError: it cannot be written.
        """
        make_folder(self._folder)
        body = bytes(tensors_.encode(state))
        write_atomically(self._path(run, round_), [hashlib.sha256(body).digest(), body])
        of_run = sorted(path for path in self._folder.glob(f"{run}.*.local") if path <= self._path(run, round_))
        for path in self._folder.glob("*.local"):
            if path not in of_run[-_KEPT:]:
                path.unlink(missing_ok=True)

    def load(self, run: str, counted: int | None) -> OrderedDict[str, Tensor] | None:
        """Return what the round left whose update counted last; None to begin from nothing.

        Args:
            run: its name.
            counted: the round, or None if no update of this site has counted yet.
        """
        if counted is None or not self._folder.is_dir():
            return None
        path = self._path(run, counted)
        try:
            content = path.read_bytes()
            body = bytearray(content[_DIGEST_BYTES:])
            if hashlib.sha256(body).digest() != content[:_DIGEST_BYTES]:
                raise WireError("its checksum does not hold")
            return tensors_.decode(tensors_.names_of(body), body)
        except (OSError, WireError) as error:
            _log.warning("what round %d left is not there (%s): this site begins from nothing", counted + 1, error)
            return None

    def _path(self, run: str, round_: int) -> Path:
        return self._folder / f"{run}.{round_:08d}.local"

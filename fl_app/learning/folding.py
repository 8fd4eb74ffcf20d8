"""Updates are added up as they come, in the roster's order, so that memory does not grow with the number of sites.

Floating-point addition depends on its order. So the order is the roster's, whatever the order of arrival: an update
whose turn it is goes into the sum and is forgotten; one that comes before its turn waits, in memory while that is
little and in a file beyond. docs/decisions/0020 has what else was considered.
"""

from __future__ import annotations

import logging
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from fl_app.errors import StateError
from fl_app.plugins import Update
from fl_app.transport import tensors as tensors_
from fl_app.transport.memory import buffer

_log = logging.getLogger(__name__)

State = OrderedDict[str, Tensor]

#: Makes the next global weights of a block: its tensor's name, its place in it, and the mean, float64 ``[block]``.
Step = Callable[[str, slice, Tensor], Tensor]

#: Bytes of updates that may wait in memory for their turn, where that is more than one update.
WAITING_LIMIT = 64 << 20
_WAITING = "waiting-"
#: Weights that are converted at once: below torch's grain, so that no threads are woken for so little.
_BLOCK = 30_720


class Fold(Protocol):
    """A sum that updates are added to one by one."""

    def add(self, update: Update) -> None:
        """Take an update in; the caller forgets it."""

    def finish(self) -> State:
        """Return the next global weights, and give the memory of the sum back."""


class MeanFold:
    """The mean of the updates, each weighted by its samples; sums are float64.

    In float64 the product of a float32 weight and a number of samples below 2**29 is exact, so an addition rounds once.
    """

    def __init__(self, form: Mapping[str, Tensor], *, step: Step | None = None) -> None:
        """Begin with nothing.

        Args:
            form: has the names, shapes and types of the model.
            step: what is made of the mean; the mean itself if left out.
        """
        self._form, self._step = form, step
        self._sums: dict[str, Tensor] = {}
        self._samples = 0

    def add(self, update: Update) -> None:
        """Add an update, in blocks, so that the conversion to float64 takes no memory to speak of."""
        self._samples += update.samples
        for name, declared in self._form.items():
            is_first = name not in self._sums
            if is_first:
                self._sums[name] = _sum_of(declared)
            total, added = self._sums[name].view(-1), update.state[name].reshape(-1)
            for start in range(0, total.numel(), _BLOCK):
                part = slice(start, start + _BLOCK)
                if is_first:
                    total[part].copy_(added[part]).mul_(update.samples)
                else:
                    total[part].add_(added[part].to(torch.float64), alpha=update.samples)

    def finish(self) -> State:
        """Return the mean in the model's types, in the memory of the sums: a narrower type fits into its own sum."""
        mean: State = OrderedDict()
        for name, declared in self._form.items():
            total = self._sums.pop(name).view(-1)
            narrow = total.view(declared.dtype)[: total.numel()]
            for start in range(0, total.numel(), _BLOCK):
                part = slice(start, start + _BLOCK)
                value = total[part] / self._samples
                if self._step:
                    value = self._step(name, part, value)
                narrow[part] = (value if declared.is_floating_point() else value.round_()).to(declared.dtype)
            mean[name] = narrow.view(declared.shape)
        self._samples = 0
        return mean


def _sum_of(declared: Tensor) -> Tensor:
    """Return memory for a sum that was another round's before."""
    if not declared.numel():
        return torch.empty(declared.shape, dtype=torch.float64)
    memory = buffer(declared.numel() * torch.float64.itemsize)
    return torch.frombuffer(memory, dtype=torch.float64).view(declared.shape)


def forget_waiting(folder: Path | None) -> None:
    """Delete what a process that was killed has left waiting in a folder."""
    for path in folder.glob(f"{_WAITING}*") if folder else ():
        path.unlink(missing_ok=True)


class InRosterOrder:
    """Hands updates to a fold in the roster's order, whatever the order in which they come."""

    def __init__(self, fold: Fold, *, limit: int = WAITING_LIMIT, folder: Path | None = None) -> None:
        """Begin a round.

        Args:
            fold: what adds up.
            limit: bytes that may wait in memory; one update always may.
            folder: where files for more than that are made; the system's temporary folder if left out.
        """
        self._fold, self._limit, self._folder = fold, limit, folder
        self._next = 0
        self._waiting: dict[int, Update | tuple[Update, Path]] = {}
        self._bytes = 0

    def add(self, place: int, update: Update) -> None:
        """Take the update of a place in the roster.

        Raises:
            StateError: it has to wait in a file, and that cannot be written.
        """
        if place == self._next:
            self._fold.add(update)
            del update  # before another one is read
            self._next += 1
            while self._next in self._waiting:
                self._take(self._next)
                self._next += 1
            return
        size = sum(tensor.nbytes for tensor in update.state.values())
        if not self._bytes or self._bytes + size <= self._limit:
            self._bytes += size
            self._waiting[place] = update
        else:
            self._waiting[place] = (update.without_state(), self._write(update))

    def finish(self) -> State:
        """Add what still waits, because places before it stayed empty, and return the fold's result."""
        for place in sorted(self._waiting):
            self._take(place)
        return self._fold.finish()

    def forget(self) -> None:
        """Delete what waits."""
        for waiting in self._waiting.values():
            if isinstance(waiting, tuple):
                waiting[1].unlink(missing_ok=True)
        self._waiting.clear()

    def _take(self, place: int) -> None:
        waiting = self._waiting.pop(place)
        if isinstance(waiting, Update):
            self._bytes -= sum(tensor.nbytes for tensor in waiting.state.values())
            self._fold.add(waiting)
            return
        known, path = waiting
        try:
            with path.open("rb") as file:
                body = buffer(path.stat().st_size)
                file.readinto(body)
        except OSError as error:
            raise StateError(f"{path} cannot be read: {error.strerror}.") from None
        finally:
            path.unlink(missing_ok=True)
        names = tensors_.names_of(body)
        self._fold.add(Update(known.site, known.samples, tensors_.decode(names, body)))

    def _write(self, update: Update) -> Path:
        try:
            with tempfile.NamedTemporaryFile(prefix=_WAITING, dir=self._folder, delete=False) as file:
                for piece in tensors_.pieces(update.state):
                    file.write(piece)
                return Path(file.name)
        except OSError as error:
            raise StateError(
                f"An update of {update.site} waits for its turn and cannot be written: {error.strerror}.",
                remedy="Free space on the state volume.",
            ) from None

"""Fewer bytes, if a federation has agreed to it: half-precision updates with error feedback, or zstd. Off by default.

- ``float16``, ``bfloat16``: a site sends what its fit has changed, in half precision; what rounding takes away is kept
  and added to what the next round changed. The model that the aggregator sends stays whole.
- ``zstd``: every message's body, both ways; what is unpacked may not be larger than what may be sent unpacked.

Source of error feedback: Seide et al., Interspeech 2014; Karimireddy et al., ICML 2019.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from fl_app.rounds.local_state import LocalState
from fl_app.transport.json_text import WireError
from fl_app.transport.memory import Buffer, buffer

Compression = Literal["none", "bfloat16", "float16", "zstd"]
COMPRESSIONS: tuple[Compression, ...] = ("none", "bfloat16", "float16", "zstd")

State = OrderedDict[str, Tensor]

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_LEVEL = 3
_ZSTD_HEADER = 18


def pack(body: Buffer, compression: Compression) -> Buffer:
    """Return a message's body as it is sent."""
    if compression != "zstd" or not len(body):
        return body
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL).compress(memoryview(body))


def unpack(body: Buffer, compression: Compression, limit: int) -> Buffer:
    """Return a message's body as it was before it was packed.

    Args:
        body: what arrived.
        compression: the federation's.
        limit: bytes that it may have.

    Raises:
        WireError: it is not zstd, does not say how large it is, or is larger than allowed.
    """
    if compression != "zstd" or not len(body):
        return body
    import zstandard

    try:
        size = zstandard.frame_content_size(bytes(body[:_ZSTD_HEADER]))
        if not 0 <= size <= limit:
            raise WireError(f"a packed body of {size} bytes; at most {limit} are allowed")
        found, filled = buffer(size), 0
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
            memoryview(body), read_across_frames=False
        ) as reader:
            while filled < size:
                part = reader.read(min(1 << 20, size - filled))
                if not part:
                    raise WireError("a packed body that ends too early")
                found[filled : filled + len(part)] = part
                filled += len(part)
            if reader.read(1):
                raise WireError("a packed body that is longer than it says")
    except zstandard.ZstdError as error:
        raise WireError(f"not zstd: {str(error)[:80]}") from None
    return found


def packed_limit(limit: int, compression: Compression) -> int:
    """Return how many bytes a body of at most ``limit`` may have when it is packed: what cannot be packed grows."""
    return limit + (limit >> 7) + 1024 if compression == "zstd" else limit


def is_half(compression: Compression) -> bool:
    """Say whether updates travel in half precision."""
    return compression in _HALF


class Feedback:
    """A site's side of half precision: it keeps what rounding took away, for its next update."""

    def __init__(self, compression: Compression, folder: Path) -> None:
        """Keep the rest in a folder, on the disk: it outlives the process."""
        self._dtype = _HALF[compression]
        self._rests = LocalState(folder)

    def shorten(
        self, run: str, round_: int, fitted: Mapping[str, Tensor], base: Mapping[str, Tensor], counted: int | None
    ) -> State:
        """Return what is sent of an update.

        It goes on from what the site's last update that counted has left: an update that was lost leaves nothing, and a
        round that is fitted again gives the same bits.

        Args:
            run: a rest of another run is of no meaning.
            round_: the round that is answered.
            fitted: the weights after the fit.
            base: the weights that the aggregator sent.
            counted: the round in which an update of this site counted last, as the aggregator says it.
        """
        before: Mapping[str, Tensor] = self._rests.load(run, counted) or {}
        sent: State = OrderedDict()
        rest: State = OrderedDict()
        most = torch.finfo(self._dtype).max
        for name, tensor in fitted.items():
            if not tensor.is_floating_point():
                sent[name] = tensor
                continue
            change = tensor - base[name]
            if name in before and before[name].shape == change.shape:
                change += before[name]
            sent[name] = change.clamp(-most, most).to(self._dtype)
            rest[name] = change - sent[name].to(change.dtype)
        self._rests.save(run, round_, rest)
        return sent


def lengthen(sent: Mapping[str, Tensor], base: Mapping[str, Tensor], compression: Compression) -> State:
    """Return a site's weights from what it sent in half precision.

    Raises:
        WireError: it is not what :meth:`Feedback.shorten` makes of this model.
    """
    if sent.keys() != base.keys():
        raise WireError("the tensors are not those of the model")
    whole: State = OrderedDict()
    for name, declared in base.items():
        found = sent[name]
        expected = _HALF[compression] if declared.is_floating_point() else declared.dtype
        if found.shape != declared.shape or found.dtype != expected:
            raise WireError(
                f"{name} is {found.dtype} {list(found.shape)}; {expected} {list(declared.shape)} is due by compression"
            )
        whole[name] = declared + found.to(declared.dtype) if declared.is_floating_point() else found
    return whole

"""Tensors as safetensors, written into one buffer and read as views on what arrived: no copy, and nothing but numbers.

The package ``safetensors`` copies what it reads and what it writes, which at a gigabyte costs more memory than the
aggregation. The format is small enough to be read strictly here: a length, a JSON header, the bytes; closed lists of
types and entries; no metadata, no gaps, no overlaps.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fl_app.transport.json_text import WireError, parse_json
from fl_app.transport.memory import Buffer
from fl_app.transport.memory import buffer as new_buffer

_LENGTH = struct.Struct("<Q")
HEADER_LIMIT = 4 << 20
_DIMENSIONS_LIMIT = 16
_ALIGNMENT = 8

TYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in TYPES.items()}


def encode(tensors: Mapping[str, Tensor]) -> Buffer:
    """Return the tensors as safetensors; memory for one copy is all it takes.

    Raises:
        WireError: a tensor's type or layout has no place on the wire.
    """
    header, order = _header(tensors)
    size = sum(_size(tensors[name]) for name in order)
    buffer = new_buffer(len(header) + size)
    buffer[: len(header)] = header
    offset = len(header)
    for name in order:
        tensor = tensors[name]
        if tensor.numel():
            place = torch.frombuffer(buffer, dtype=tensor.dtype, count=tensor.numel(), offset=offset)
            place.view(tensor.shape).copy_(tensor.detach())
        offset += _size(tensor)
    return buffer


def pieces(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Yield what :func:`encode` would return in pieces that need no memory of their own, to be written to a file."""
    header, order = _header(tensors)
    yield header
    for name in order:
        if tensors[name].numel():
            yield tensors[name].detach().contiguous().view(-1).view(torch.uint8).numpy().data


def names_of(body: Buffer) -> list[str]:
    """Return the names in a body that was encoded here."""
    length = _LENGTH.unpack_from(body)[0]
    return list(parse_json(bytes(body[_LENGTH.size : _LENGTH.size + length])))


def encoded_size(tensors: Mapping[str, Tensor]) -> int:
    """Return how many bytes :func:`encode` would make of tensors of these shapes and types."""
    return len(_header(tensors)[0]) + sum(_size(tensor) for tensor in tensors.values())


def decode(names: Iterable[str], body: Buffer) -> OrderedDict[str, Tensor]:
    """Return the tensors in the order of ``names``, as views on ``body`` if that can be written.

    Raises:
        WireError: the body is not safetensors, or holds other tensors than the names.
    """
    buffer = bytearray(body) if isinstance(body, bytes) else body
    if len(buffer) < _LENGTH.size:
        raise WireError("not safetensors: there is no length")
    length = _LENGTH.unpack_from(buffer)[0]
    start = _LENGTH.size + length
    if length > HEADER_LIMIT or start > len(buffer):
        raise WireError(f"not safetensors: a header of {length} bytes")
    try:
        entries = parse_json(bytes(buffer[_LENGTH.size : start]))
    except WireError as error:
        raise WireError(f"not safetensors: {error}") from None
    wanted = list(names)
    if len(wanted) != len(entries) or set(wanted) != set(entries):
        raise WireError("the tensors are not those that the header names")
    spans = {name: _span(name, entry) for name, entry in entries.items()}
    end = 0
    for name, (_, _, begin, stop) in sorted(spans.items(), key=lambda item: item[1][2:]):
        if begin != end:
            raise WireError(f"not safetensors: {name!r:.80} does not begin where the one before ends")
        end = stop
    if start + end != len(buffer):
        raise WireError("not safetensors: its tensors do not fill the body")
    return OrderedDict((name, _view(buffer, start, *spans[name])) for name in wanted)


def _header(tensors: Mapping[str, Tensor]) -> tuple[bytes, list[str]]:
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES or tensor.layout is not torch.strided:
            raise WireError(f"{name!r:.80} is {tensor.dtype} {tensor.layout}, which has no place on the wire")
    # widest first, so that every tensor begins at a multiple of its own width
    order = sorted(tensors, key=lambda name: -tensors[name].element_size())
    entries: dict[str, Any] = {}
    offset = 0
    for name in order:
        tensor = tensors[name]
        stop = offset + _size(tensor)
        entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, stop]}
        offset = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text, order


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _span(name: str, entry: Any) -> tuple[torch.dtype, list[int], int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WireError(f"not safetensors: the entry {name!r:.80}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    dtype = TYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise WireError(f"not safetensors: {name!r:.80} is of type {entry['dtype']!r:.80}")
    if not _are_counts(shape) or len(shape) > _DIMENSIONS_LIMIT:
        raise WireError(f"not safetensors: {name!r:.80} has the shape {shape!r:.80}")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise WireError(f"not safetensors: {name!r:.80} has the offsets {offsets!r:.80}")
    begin, stop = offsets
    if stop - begin != math.prod(shape) * dtype.itemsize:
        raise WireError(f"not safetensors: {name!r:.80} has not as many bytes as its shape")
    return dtype, shape, begin, stop


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 for value in values
    )


def _view(
    buffer: bytearray | mmap.mmap, start: int, dtype: torch.dtype, shape: list[int], begin: int, stop: int
) -> Tensor:
    if begin == stop:
        return torch.empty(shape, dtype=dtype)
    offset = start + begin
    source, place = (buffer, offset) if offset % dtype.itemsize == 0 else (bytearray(buffer[offset : start + stop]), 0)
    count = (stop - begin) // dtype.itemsize
    if dtype is torch.bool:  # a byte that is neither 0 nor 1 would be neither true nor false
        raw = torch.frombuffer(source, dtype=torch.uint8, count=count, offset=place)
        return raw.ne(0).view(shape)
    return torch.frombuffer(source, dtype=dtype, count=count, offset=place).view(shape)

"""Tensors on the wire: read and written as the package safetensors does; anything else is refused."""

from __future__ import annotations

import json
import struct
from collections import OrderedDict

import pytest
import safetensors.torch
import torch

from fl_app.transport.json_text import WireError
from fl_app.transport.tensors import TYPES, decode, encode, encoded_size

STATE = OrderedDict(
    (f"{name}-{len(shape)}", (torch.arange(torch.Size(shape).numel()) % 2).view(shape).to(dtype))
    for name, dtype in TYPES.items()
    for shape in ([], [3], [2, 0], [1, 3, 5])
)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(one[n].dtype == other[n].dtype and torch.equal(one[n], other[n]) for n in one.keys() | other.keys())


def test_both_ways_with_the_package_safetensors() -> None:
    assert same(safetensors.torch.load(bytes(encode(STATE))), STATE)
    assert same(decode(STATE, safetensors.torch.save(dict(STATE))), STATE)
    assert same(decode(STATE, encode(STATE)), STATE)
    assert len(encode(STATE)) == encoded_size(STATE)


def test_reading_copies_nothing() -> None:
    body = encode({"w": torch.zeros(4)})
    found = decode(["w"], body)["w"]
    found += 1
    assert decode(["w"], body)["w"].tolist() == [1.0] * 4


def test_views_that_are_not_contiguous_arrive_as_they_are() -> None:
    turned = torch.arange(6.0).view(2, 3).T
    assert torch.equal(decode(["w"], encode({"w": turned}))["w"], turned)


def made(entries: object, data: bytes = bytes(8)) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_the_body_that_the_refusals_start_from_is_accepted() -> None:
    assert decode(["w"], made({"w": entry()}))["w"].shape == (2,)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 2**63) + b"{}",
        made([]),
        made({"w": entry(dtype="F128")}),
        made({"w": entry(dtype=["F32"])}),
        made({"w": entry(shape=[-1])}),
        made({"w": entry(shape=[2**60, 2**60])}),
        made({"w": entry(shape=[True, 2])}),
        made({"w": entry(shape=[1] * 17 + [2])}),
        made({"w": entry(offsets=[8, 0])}),
        made({"w": entry(offsets=[0, 8, 8])}),
        made({"w": entry(offsets=[4, 12])}),
        made({"w": {**entry(), "code": "x"}}),
        made({"w": entry(), "__metadata__": {"a": "b"}}),
        made({"w": entry()}, bytes(9)),
        made({"w": entry()}, bytes(7)),
        made({"w": entry(), "v": entry()}),
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        decode(["w"], body)


def test_large_memory_is_used_again_and_never_while_somebody_looks_at_it() -> None:
    state = {"w": torch.zeros(3 << 20)}
    first = encode(state)
    seen = decode(["w"], first)["w"]
    where = seen.data_ptr()
    del first
    other = encode({"w": torch.ones(3 << 20)})
    assert seen.sum() == 0
    assert decode(["w"], other)["w"].data_ptr() != where
    del seen
    assert decode(["w"], encode(state))["w"].data_ptr() == where

"""Envelopes: what goes in comes out, and what is not an envelope is refused with the reason."""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fl_app.transport.wire import (
    HEADER_LIMIT,
    METRICS,
    SAMPLES_LIMIT,
    VERSION,
    Envelope,
    WireError,
    check,
    decode,
    encode_header,
    encode_tensors,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
RUNS = st.from_regex(r"[A-Za-z0-9]{1,64}", fullmatch=True)
COUNTS = st.integers(0, 2**53 - 1)
TEXTS = st.text(max_size=64)
METRIC_VALUES = st.dictionaries(st.sampled_from(METRICS), st.one_of(st.none(), COUNTS, FINITE))
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


@st.composite
def tensors(draw: st.DrawFn) -> OrderedDict[str, torch.Tensor]:
    names = draw(st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=4))
    found: OrderedDict[str, torch.Tensor] = OrderedDict()
    for name in names:
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        values = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
        found[name] = values.to(draw(st.sampled_from(DTYPES)))
    return found


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    kind = draw(st.sampled_from(["init", "sync", "finish", "status", "update", "evaluation"]))
    run = draw(RUNS)
    counted = draw(st.none() | COUNTS)
    task = {"run": run, "round": draw(COUNTS), "rounds": draw(COUNTS), "counted": counted, "edition": run}
    answer = {"run": run, "edition": run, "round": draw(COUNTS), "metrics": draw(METRIC_VALUES)}
    fields = {
        "init": task,
        "sync": task,
        "finish": {"run": run, "outcome": draw(st.sampled_from(["done", "cancelled", "stopped"]))},
        "status": {
            "client_status": draw(st.sampled_from(["ONLINE", "FINISHED", "LEAVING"])),
            "data_sha256": draw(st.sampled_from(["", "0a" * 32])),
        },
        "update": {**answer, "num_samples": draw(st.integers(1, SAMPLES_LIMIT))},
        "evaluation": answer,
    }[kind]
    return Envelope(
        kind, draw(TEXTS), draw(TEXTS), fields, draw(tensors()) if kind in ("init", "sync", "update") else None
    )


@given(envelopes())
def test_what_is_encoded_is_decoded(envelope: Envelope) -> None:
    check(envelope)

    found = decode(encode_header(envelope), encode_tensors(envelope.tensors))

    assert (found.kind, found.sender, found.receiver) == (envelope.kind, envelope.sender, envelope.receiver)
    assert found.fields == envelope.fields
    assert (found.tensors is None) == (envelope.tensors is None)
    if envelope.tensors is not None and found.tensors is not None:
        assert list(found.tensors) == list(envelope.tensors)
        for name, tensor in envelope.tensors.items():
            assert found.tensors[name].dtype == tensor.dtype
            assert torch.equal(found.tensors[name], tensor)


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_garbage_is_a_wire_error_and_nothing_else(header: bytes, body: bytes) -> None:
    with pytest.raises(WireError):
        decode(header, body)


def good() -> Envelope:
    state = OrderedDict(weight=torch.zeros(2, 3))
    return Envelope(
        "update", "a", "aggregator", {"run": "r", "round": 1, "edition": "e", "num_samples": 5, "metrics": {}}, state
    )


def changed(**entries: object) -> bytes:
    return json.dumps({**json.loads(encode_header(good())), **entries}).encode()


def test_the_envelope_that_the_refusals_start_from_is_accepted() -> None:
    assert decode(encode_header(good()), encode_tensors(good().tensors)).fields["num_samples"] == 5


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (changed(v=VERSION + 1), "wire version 3"),
        (changed(v=None), "wire version None"),
        (changed(kind="exec"), "unknown kind"),
        (changed(extra=1), "undeclared"),
        (changed(fields={**good().fields, "os": "x"}), "not declared"),
        (changed(fields={"run": "r", "round": 1, "edition": "e", "metrics": {}}), "num_samples' is missing"),
        (changed(fields={**good().fields, "num_samples": -1}), "num_samples is -1"),
        (changed(fields={**good().fields, "num_samples": 0}), "num_samples is 0"),
        (changed(fields={**good().fields, "num_samples": 10**30}), "num_samples is 1000"),
        (changed(fields={**good().fields, "num_samples": True}), "num_samples is True"),
        (changed(fields={**good().fields, "round": "1"}), "round is '1'"),
        (changed(fields={**good().fields, "metrics": {"ssn": 1.0}}), "metrics is"),
        (changed(fields={**good().fields, "metrics": {"auroc": "0.9"}}), "metrics is"),
        (changed(tensors=["bias"]), "not those that the header names"),
        (changed(tensors={"weight": 1}), "not a list"),
        (encode_header(good()).replace(b'"round":1', b'"round":NaN'), "NaN is not a number"),
        (encode_header(good()).replace(b'"round":1', b'"round":1,"round":2'), "a key stands twice"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "object is expected"),
        (b" " * (HEADER_LIMIT + 1), "bytes; at most"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_header_that_is_not_one_is_refused_with_the_reason(header: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        decode(header, encode_tensors(good().tensors))


class RunsWhenUnpickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


def test_a_pickle_is_refused_and_its_code_does_not_run(tmp_path: Path) -> None:
    payload = pickle.dumps(RunsWhenUnpickled(tmp_path / "ran"))

    with pytest.raises(WireError, match="not safetensors"):
        decode(encode_header(good()), payload)
    with pytest.raises(WireError, match="not JSON"):
        decode(payload, b"")
    assert not (tmp_path / "ran").exists()

    pickle.loads(payload)  # the control: unpickled, it does run
    assert (tmp_path / "ran").exists()


def test_what_is_not_declared_does_not_leave() -> None:
    with pytest.raises(WireError, match="patients"):
        check(Envelope("update", "a", "aggregator", {**good().fields, "patients": 1}, good().tensors))

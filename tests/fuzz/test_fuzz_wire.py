"""Hypothesis on frames, sessions and messages: mangled they are refused, lost and repeated they arrive once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fl_app.transport.frames import Ack, Assembler, Hello, Letter, ack_frame, hello_frame, letter_frames
from fl_app.transport.json_text import WireError
from fl_app.transport.session import Session
from fl_app.transport.tensors import decode as decode_tensors
from fl_app.transport.wire import Envelope, decode, encode_header, encode_tensors

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
STATE = OrderedDict(weight=torch.zeros(2, 3), bias=torch.zeros(2))
UPDATE = Envelope(
    "update", "a", "aggregator", {"run": "r", "round": 1, "edition": "e", "num_samples": 5, "metrics": {}}, STATE
)
HEADER, BODY = encode_header(UPDATE), bytes(encode_tensors(STATE))
GOOD = [hello_frame(Hello("0" * 32, "", 0)), *letter_frames(Letter(1, HEADER, BODY)), ack_frame(1)]

Changes = list[tuple[int, int, str]]
changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from("sid")), max_size=6)


def mangled(data: bytes, how: Changes) -> bytes:
    """Set, insert and delete bytes."""
    found = bytearray(data)
    for place, value, what in how:
        at = place % (len(found) + 1)
        if what == "i":
            found.insert(at, value)
        elif at < len(found):
            if what == "d":
                del found[at]
            else:
                found[at] = value
    return bytes(found)


@given(changes, changes)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_message_with_bytes_changed_is_a_message_or_refused(header: object, body: object) -> None:
    try:
        found = decode(mangled(HEADER, header), mangled(BODY, body))  # type: ignore[arg-type]
    except WireError:
        return
    assert found.tensors is not None
    assert sum(tensor.nbytes for tensor in found.tensors.values()) <= len(BODY) + 6


@given(st.lists(st.tuples(st.sampled_from(range(len(GOOD))), changes), max_size=8))
@settings(max_examples=EXAMPLES, deadline=None)
def test_frames_in_any_order_and_mangled_are_taken_or_refused(
    sent: list[tuple[int, list[tuple[int, int, str]]]],
) -> None:
    assembler = Assembler(1 << 20, hashes=True)
    for index, how in sent:
        try:
            found = assembler.feed(mangled(GOOD[index], how))
        except WireError:
            return
        assert found is None or isinstance(found, Hello | Ack | Letter)


@given(st.binary(max_size=600))
@settings(max_examples=EXAMPLES, deadline=None)
def test_any_bytes_are_tensors_or_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        decode_tensors(["weight"], body)


class Streams(RuleBasedStateMachine):
    """Two sessions over streams that break anywhere: each message arrives once, in order, unless a side is new."""

    @initialize()
    def begin(self) -> None:
        self.site, self.hub = Session(answers=False), Session(answers=True)
        self.sent: list[int] = []
        self.arrived: list[int] = []
        self.number = 0
        self.connect()

    def connect(self) -> None:
        goes_on = self.hub.greeted(self.site.greeting())
        answered = self.site.greeted(self.hub.greeting())
        assert goes_on == answered or not goes_on
        self.at = 0
        if not answered:
            self.sent, self.arrived = [], []

    @rule()
    def put(self) -> None:
        self.number += 1
        self.sent.append(self.number)
        self.site.put(str(self.number).encode(), b"")

    @rule(acknowledged=st.booleans())
    def deliver(self, acknowledged: bool) -> None:
        with self.site.changed:
            letter = self.site.first_after(self.at)
        if letter is None:
            return
        self.at = letter.number
        if self.hub.is_new(letter.number):
            self.arrived.append(int(letter.header))
        if acknowledged:
            self.site.acknowledged(Ack(letter.number))

    @rule()
    def break_off(self) -> None:
        self.connect()

    @rule()
    def hub_is_killed(self) -> None:
        self.hub = Session(answers=True)
        self.connect()

    @rule()
    def site_is_killed(self) -> None:
        self.site = Session(answers=False)
        self.connect()

    @invariant()
    def each_once_and_in_order(self) -> None:
        if hasattr(self, "sent"):
            assert self.arrived == self.sent[: len(self.arrived)]


Streams.TestCase.settings = settings(max_examples=max(20, EXAMPLES // 4), stateful_step_count=40, deadline=None)
TestStreams = Streams.TestCase


def atheris(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the decoder's fuzzer; what it finds lies in the folder."""
    pytest.importorskip("atheris", reason="atheris is not made for this Python or system")
    command = [sys.executable, str(Path(__file__).with_name("decoder.py")), *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)


def test_the_decoder_holds_for_some_seconds_of_atheris(tmp_path: Path) -> None:
    done = atheris(tmp_path, "-max_total_time=15", "-print_final_stats=1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []
    runs = next(line for line in done.stderr.splitlines() if "number_of_executed_units" in line)
    assert int(runs.split()[-1]) > 100


def test_atheris_finds_a_check_that_is_missing(tmp_path: Path) -> None:
    """The negative control of the test above: with one check taken out of the decoder, the same fuzzer fails."""
    done = atheris(tmp_path, "--plant", "-max_total_time=120")
    assert done.returncode != 0
    assert "Uncaught Python exception" in done.stdout + done.stderr  # whichever of the check's faults it meets first
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["crash"]

"""Compression: half precision loses nothing over the rounds, zstd is exact and bounded, and both sides must agree."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import zstandard

from fl_app.transport.compression import Compression, Feedback, lengthen, pack, unpack
from fl_app.transport.frames import Hello
from fl_app.transport.json_text import WireError
from fl_app.transport.session import Session

BASE = OrderedDict(w=torch.randn(50, generator=torch.Generator().manual_seed(0)), n=torch.tensor(3))


def last(round_: int) -> int | None:
    return round_ - 1 if round_ else None


@pytest.mark.parametrize("compression", ["bfloat16", "float16"])
def test_what_rounding_takes_away_in_one_round_comes_with_a_later_one(compression: Compression, tmp_path: Path) -> None:
    """The same small change every round: by itself it is rounded, its sum is not, up to what one round rounds."""
    feedback = Feedback(compression, tmp_path)
    change = torch.linspace(1e-3, 1.003e-3, 50)
    total = torch.zeros(50)
    lost = torch.zeros(50)
    for round_ in range(100):
        sent = feedback.shorten("run", round_, {"w": BASE["w"] + change, "n": BASE["n"]}, BASE, last(round_))
        whole = lengthen(sent, BASE, compression)
        total += sent["w"].float()
        lost += change.to(sent["w"].dtype).float()
        assert whole["n"] == 3
    assert (total - 100 * change).abs().max() < 1e-5
    assert (lost - 100 * change).abs().max() > 1e-5  # the control: without feedback it adds up


def test_a_round_that_is_fitted_again_after_a_restart_gives_the_same_bits(tmp_path: Path) -> None:
    fitted = {"w": BASE["w"] * 1.01, "n": BASE["n"]}

    def sent(run: str, round_: int, counted: int | None) -> torch.Tensor:
        return Feedback("bfloat16", tmp_path).shorten(run, round_, fitted, BASE, counted)["w"]

    first = [sent("run", round_, last(round_)) for round_ in range(5)]
    assert not torch.equal(first[0], first[1])
    for round_ in (4, 3, 2):  # the aggregator has fallen back by some rounds
        assert torch.equal(sent("run", round_, last(round_)), first[round_])
    assert torch.equal(sent("another", 0, None), first[0])


def test_what_an_update_that_was_lost_has_left_does_not_count(tmp_path: Path) -> None:
    fitted = {"w": BASE["w"] * 1.01, "n": BASE["n"]}
    feedback = Feedback("bfloat16", tmp_path)
    feedback.shorten("run", 0, fitted, BASE, None)
    expected = feedback.shorten("run", 1, fitted, BASE, 0)["w"]
    assert torch.equal(feedback.shorten("run", 2, fitted, BASE, 0)["w"], expected)  # as if round 1 had not been


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_rest_that_a_power_cut_has_damaged_is_none(tmp_path: Path, content: bytes) -> None:
    fitted = {"w": BASE["w"] * 1.01, "n": BASE["n"]}
    first = Feedback("bfloat16", tmp_path).shorten("run", 0, fitted, BASE, None)["w"]
    for path in tmp_path.iterdir():
        path.write_bytes(content)
    assert torch.equal(Feedback("bfloat16", tmp_path).shorten("run", 1, fitted, BASE, 0)["w"], first)


def test_a_change_that_is_too_large_for_float16_comes_in_parts(tmp_path: Path) -> None:
    base = {"w": torch.zeros(1)}
    feedback = Feedback("float16", tmp_path)
    fitted = [{"w": torch.tensor([100_000.0])}, {"w": torch.tensor([0.0])}]
    sent = [feedback.shorten("run", r, fitted[r], base, last(r))["w"].item() for r in range(2)]
    assert sent[0] == 65504
    assert sum(sent) == pytest.approx(100_000, rel=1e-3)


@pytest.mark.parametrize(
    "sent",
    [{}, {"w": BASE["w"], "n": BASE["n"]}, {"w": BASE["w"][:3].bfloat16(), "n": BASE["n"]}, {**BASE, "x": BASE["n"]}],
)
def test_an_update_of_another_form_is_refused(sent: dict[str, torch.Tensor]) -> None:
    with pytest.raises(WireError):
        lengthen(sent, BASE, "bfloat16")


def test_zstd_is_exact() -> None:
    for size in (0, 1, 1000, 9 << 20):
        body = os.urandom(size // 2) + bytes(size - size // 2)
        assert bytes(unpack(pack(body, "zstd"), "zstd", 10 << 20)) == body
        assert pack(body, "none") is body


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        zstandard.compress(bytes(2 << 20)),
        zstandard.compress(bytes(100))[:-4],
        zstandard.compress(bytes(100)) + b"more",
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2 << 20)),
    ],
    ids=["nonsense", "bomb", "cut", "longer", "says no size"],
)
def test_a_bomb_and_what_is_not_zstd_are_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        unpack(body, "zstd", 1 << 20)


def test_sides_that_do_not_agree_are_told() -> None:
    hub = Session(answers=True, compression="zstd")
    with pytest.raises(WireError, match=r"'none' at the other side and 'zstd' here.*policy.compression"):
        hub.greeted(Hello("0" * 32, "", 0))

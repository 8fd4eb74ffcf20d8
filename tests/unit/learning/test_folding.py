"""Adding up as updates arrive: the same bits in every order, and no more memory than the roster's order needs."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_app.errors import StateError
from fl_app.learning.folding import InRosterOrder, MeanFold, forget_waiting
from fl_app.plugins import Update

FORM = OrderedDict(w=torch.empty(3, 5), steps=torch.empty((), dtype=torch.int64), half=torch.empty(4).bfloat16())


def update(place: int, spread: float = 1.0) -> Update:
    draw = torch.Generator().manual_seed(place)
    weights = torch.randn(3, 5, generator=draw) * spread**place
    state = OrderedDict(w=weights, steps=torch.tensor(place), half=torch.randn(4, generator=draw).bfloat16())
    return Update(f"site-{place}", 7 * place + 1, state)


def folded(order: tuple[int, ...], *, limit: int, folder: Path | None = None, spread: float = 1.0) -> list[bytes]:
    made = InRosterOrder(MeanFold(FORM), limit=limit, folder=folder)
    for place in order:
        made.add(place, update(place, spread))
    return [tensor.view(-1).view(torch.uint8).numpy().tobytes() for tensor in made.finish().values()]


@pytest.mark.parametrize("limit", [0, 150, 1 << 20], ids=["all but one in files", "some in files", "in memory"])
def test_every_order_of_arrival_gives_the_same_bits_and_leaves_no_file(limit: int, tmp_path: Path) -> None:
    found = {
        tuple(folded(order, limit=limit, folder=tmp_path, spread=1e4)) for order in itertools.permutations(range(4))
    }
    assert len(found) == 1
    assert list(tmp_path.iterdir()) == []


@given(st.sets(st.integers(0, 6), min_size=1), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_places_that_stay_empty_do_not_matter(present: set[int], random: object) -> None:
    order = list(present)
    random.shuffle(order)  # type: ignore[attr-defined]
    assert folded(tuple(order), limit=1 << 20) == folded(tuple(sorted(present)), limit=1 << 20)


def test_it_is_the_weighted_mean_in_the_model_s_types() -> None:
    made = MeanFold(FORM)
    for place in range(3):
        made.add(update(place))
    found = made.finish()
    total = sum(update(p).samples for p in range(3))
    expected = sum(update(p).state["w"].double() * update(p).samples for p in range(3)) / total
    torch.testing.assert_close(found["w"].double(), expected, rtol=1e-6, atol=1e-7)
    assert {name: tensor.dtype for name, tensor in found.items()} == {n: t.dtype for n, t in FORM.items()}
    assert found["steps"] == round((0 * 1 + 1 * 8 + 2 * 15) / total)


def test_the_negative_control_added_in_the_order_of_arrival_the_bits_differ() -> None:
    found = set()
    for order in itertools.permutations(range(4)):
        made = MeanFold(OrderedDict(w=torch.empty(3, 5, dtype=torch.float64)))
        for place in order:
            state = OrderedDict(w=update(place, 1e4).state["w"].double() / 3)
            made.add(Update("s", 1, state))
        found.add(made.finish()["w"].numpy().tobytes())
    assert len(found) > 1


def test_a_disk_that_is_full_is_an_error_that_says_so(tmp_path: Path) -> None:
    made = InRosterOrder(MeanFold(FORM), limit=0, folder=tmp_path / "none")
    made.add(2, update(2))
    with pytest.raises(StateError, match="site-1 waits for its turn and cannot be written"):
        made.add(1, update(1))


def test_one_update_waits_in_memory_however_large_and_the_next_in_a_file(tmp_path: Path) -> None:
    order = InRosterOrder(MeanFold(FORM), limit=1, folder=tmp_path)
    order.add(3, update(3))
    assert list(tmp_path.iterdir()) == []
    order.add(2, update(2))
    assert len(list(tmp_path.iterdir())) == 1
    order.add(0, update(0))
    order.add(1, update(1))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_has_left_waiting_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    order = InRosterOrder(MeanFold(FORM), limit=0, folder=tmp_path)
    order.add(2, update(2))
    order.add(1, update(1))
    (tmp_path / "ranks.json").touch()
    assert len(list(tmp_path.iterdir())) == 2
    forget_waiting(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.json"]
    forget_waiting(None)

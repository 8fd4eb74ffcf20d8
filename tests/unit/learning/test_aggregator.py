"""FedML's aggregators: the model does not depend on the order of arrival, and a plug-in that breaks is told apart."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from fl_app import engine
from fl_app.errors import PluginError
from fl_app.learning.aggregation import FedAvg
from fl_app.learning.aggregator import GlobalModel, RosterAggregator
from fl_app.learning.models import LogisticRegression
from fl_app.plugins import Update

ROSTER = ("a", "b", "c")
State = OrderedDict[str, torch.Tensor]


def state(seed: int) -> State:
    draw = torch.Generator().manual_seed(seed)
    return OrderedDict(weight=torch.randn(2, 5, generator=draw), bias=torch.randn(2, generator=draw))


def aggregator(plugin: Any) -> RosterAggregator:
    args = engine.arguments({"dataset": "blobs", "worker_num": 3}, rank=0, device="cpu")
    return RosterAggregator(ROSTER, "cpu", args, GlobalModel(LogisticRegression(5, 2), args, aggregation=plugin))


def test_the_model_is_the_same_to_the_bit_whatever_the_order_of_arrival() -> None:
    found = []
    for order in itertools.permutations(range(3)):
        made = aggregator(FedAvg({}))
        for index in order:
            made.add_local_trained_result(index, state(index), 10 * (index + 1))
        found.append(made.aggregate()[0])
    assert all(torch.equal(model["weight"], found[0]["weight"]) for model in found)
    expected = sum(state(i)["weight"].double() * (i + 1) / 6 for i in range(3))
    torch.testing.assert_close(found[0]["weight"].double(), expected)


def test_those_who_answered_are_aggregated_under_their_names_and_forgotten_for_the_next_round() -> None:
    class Watch:
        def __init__(self) -> None:
            self.seen: list[list[tuple[str, int]]] = []

        def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
            self.seen.append([(update.site, update.samples) for update in updates])
            return global_state

    watch = Watch()
    made = aggregator(watch)
    made.add_local_trained_result(2, state(2), 7)
    made.add_local_trained_result(0, state(0), 5)
    made.aggregate()
    made.add_local_trained_result(1, state(1), 9)
    made.aggregate()
    assert watch.seen == [[("a", 5), ("c", 7)], [("b", 9)]]


def test_aggregating_leaves_no_memory_shared_with_what_a_site_sent() -> None:
    class First:
        def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
            return updates[0].state

    made, sent = aggregator(First()), state(0)
    made.add_local_trained_result(0, sent, 1)
    made.aggregate()
    sent["weight"].zero_()
    assert made.get_global_model_params()["weight"].any()


@pytest.mark.parametrize(
    ("returned", "reason"),
    [({"weight": torch.zeros(2, 5)}, "bias is missing"), (state(0) | {"bias": torch.full((2,), torch.nan)}, "NaN")],
)
def test_an_aggregation_that_does_not_return_the_model_is_refused(returned: State, reason: str) -> None:
    class Wrong:
        def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
            return returned

    made = aggregator(Wrong())
    made.add_local_trained_result(0, state(0), 1)
    with pytest.raises(PluginError, match=reason):
        made.aggregate()


def test_an_aggregation_that_raises_is_named() -> None:
    class Fails:
        def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
            raise ZeroDivisionError("oh")

    made = aggregator(Fails())
    made.add_local_trained_result(0, state(0), 1)
    with pytest.raises(PluginError, match="The aggregation Fails failed: ZeroDivisionError: oh"):
        made.aggregate()


def test_what_an_aggregation_may_have_besides_is_asked_for_and_its_failure_is_named() -> None:
    class Fails:
        def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
            return global_state

        def prepare(self, sites: int, quorum: int) -> None:
            raise KeyError(f"{sites} {quorum}")

    with pytest.raises(PluginError, match="The aggregation Fails failed in prepare: KeyError: '3 2'"):
        aggregator(Fails()).prepare(3, 2)
    plain = aggregator(FedAvg({}))
    plain.prepare(1)
    assert plain.kept() == OrderedDict()


def test_extra_tensors_are_zeros_at_first_and_then_what_the_aggregation_made_of_them() -> None:
    class Counts:
        def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
            return OrderedDict(global_state, **{"extra..rounds": global_state["extra..rounds"] + 1})

        def extra(self, form: State) -> State:
            return OrderedDict({"extra..rounds": torch.empty((1,), dtype=torch.int64, device="meta")})

    made = aggregator(Counts())
    assert list(made.template) == ["weight", "bias", "extra..rounds"]
    assert made.get_global_model_params()["extra..rounds"].tolist() == [0]
    made.add_local_trained_result(0, OrderedDict(state(0), **{"extra..rounds": torch.tensor([7])}), 1)
    made.aggregate()
    assert made.get_global_model_params()["extra..rounds"].tolist() == [1]

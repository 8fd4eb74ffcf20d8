"""Trimmed mean and median: coordinate by coordinate as numpy has them, and one bad site of seven does not matter."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from small_federation import SmallFederation, different_sites, optimum

from fl_app.errors import PluginError
from fl_app.learning.robust import Median, TrimmedMean
from fl_app.plugins import Update

SEVEN = different_sites(7, apart=0.3)
BAD = "site-6"


def updates(count: int, seed: int = 0) -> list[Update]:
    draw = torch.Generator().manual_seed(seed)
    return [
        Update(
            f"site-{n}",
            10**n,
            OrderedDict(w=torch.randn(2, 50, generator=draw).double(), n=torch.randint(9, (3,), generator=draw)),
        )
        for n in range(count)
    ]


def column(found: list[Update], name: str) -> np.ndarray:
    return np.stack([update.state[name].numpy() for update in found])


@pytest.mark.parametrize(
    ("trim", "count", "cut"), [(1, 5, 1), (2, 7, 2), (0.2, 5, 1), (0.2, 7, 2), (0.2, 10, 2), (0.45, 5, 2)]
)
def test_the_trimmed_mean_is_the_mean_without_the_extremes(trim: float, count: int, cut: int) -> None:
    found = updates(count)
    after = TrimmedMean({"trim": trim}).aggregate(found[0].state, found)
    kept = np.sort(column(found, "w"), axis=0)[cut : count - cut]
    np.testing.assert_allclose(after["w"], kept.mean(0), rtol=1e-12)
    whole = np.sort(column(found, "n"), axis=0)[cut : count - cut].mean(0)
    assert after["n"].tolist() == np.round(whole).tolist()
    assert (after["w"].dtype, after["n"].dtype) == (torch.float64, torch.int64)


@pytest.mark.parametrize("count", [5, 6, 7, 8])
def test_the_median_is_numpys(count: int) -> None:
    found = updates(count)
    after = Median({}).aggregate(found[0].state, found)
    np.testing.assert_allclose(after["w"], np.median(column(found, "w"), axis=0), rtol=1e-12)
    assert after["n"].tolist() == np.round(np.median(column(found, "n"), axis=0)).tolist()


def test_tensors_larger_than_a_block_are_whole() -> None:
    found = [Update(f"{n}", 1, OrderedDict(w=torch.full((70_001,), float(n)))) for n in range(5)]
    assert torch.equal(Median({}).aggregate(found[0].state, found)["w"], torch.full((70_001,), 2.0))


@pytest.mark.parametrize("aggregation", [TrimmedMean({}), Median({})])
def test_neither_order_nor_claimed_samples_change_a_bit(aggregation: Any) -> None:
    found = updates(5)
    expected = aggregation.aggregate(found[0].state, found)["w"]
    for order in itertools.permutations(found):
        claimed = [Update(update.site, 1, update.state) for update in order]
        assert torch.equal(aggregation.aggregate(found[0].state, claimed)["w"], expected)


@pytest.mark.parametrize("name", ["trimmed_mean", "median"])
def test_one_flipped_site_of_seven_does_not_matter_and_with_fedavg_it_does(name: str) -> None:
    robust, undisturbed, plain = (SmallFederation(SEVEN, kind) for kind in (name, name, "fedavg"))
    for _ in range(25):
        found = robust.round(poison={BAD: -10.0})
        expected = undisturbed.round()
        ruined = plain.round(poison={BAD: -10.0})
    far = np.linalg.norm(optimum(SEVEN, np.full(7, 1 / 7)))
    assert np.linalg.norm(expected) > 0.9 * far
    assert np.linalg.norm(found - expected) < 0.2 * far  # within how far the sites differ
    assert np.linalg.norm(ruined - expected) > far


@pytest.mark.parametrize("name", ["trimmed_mean", "median"])
@pytest.mark.parametrize(("sites", "quorum"), [(4, None), (2, 2), (7, 4)])
def test_fewer_than_five_are_refused_before_the_first_round(name: str, sites: int, quorum: int | None) -> None:
    federation = SmallFederation(SEVEN, name)
    with pytest.raises(PluginError, match="the median of two is their mean"):
        federation.aggregator.prepare(sites, quorum)
    federation.aggregator.prepare(5)


@pytest.mark.parametrize("aggregation", [TrimmedMean({}), Median({})])
def test_a_round_of_four_is_refused(aggregation: Any) -> None:
    with pytest.raises(PluginError, match="one may close with 4"):
        aggregation.aggregate(updates(4)[0].state, updates(4))


def test_a_cut_that_leaves_none_is_refused_with_what_would_do() -> None:
    with pytest.raises(PluginError, match=r"(?s)at each end of 6 updates: none is left.*at most 2"):
        TrimmedMean({"trim": 3}).prepare(9, 6)

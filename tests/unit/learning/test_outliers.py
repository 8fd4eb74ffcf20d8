"""Updates that stand out: a poisoned site is found, honest sites that differ are left alone."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from small_federation import SmallFederation, different_sites

from fl_app.learning.outliers import Sketch, judge, sketch

State = OrderedDict[str, torch.Tensor]


def state(values: torch.Tensor) -> State:
    return OrderedDict(w=values)


def sketches(changes: dict[str, torch.Tensor]) -> dict[str, Sketch]:
    return {site: sketch(state(torch.zeros_like(change)), state(change)) for site, change in changes.items()}


def honest(seed: int, sites: int, size: int = 1000) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """Return changes of hospitals that differ: sizes over two orders, a common direction that may be weak or absent."""
    draw = np.random.default_rng(seed)
    samples = {f"s{n}": int(np.exp(draw.normal(5.5, 1.2))) + 20 for n in range(sites)}
    common, share = draw.normal(size=size), draw.choice([0.0, 0.3, 1.0])
    steps = draw.uniform(0, 1)  # how much the length grows with the samples: 0 near the end of a training
    changes = {
        site: torch.from_numpy((share * common + draw.normal(size=size)) * count**steps * np.exp(draw.normal(0, 0.3)))
        for site, count in samples.items()
    }
    if draw.random() < 0.3:  # at a fixed point of FedAvg the weighted changes cancel out
        total = sum(samples.values())
        mean = sum(samples[site] * change for site, change in changes.items()) / total
        changes = {site: change - mean for site, change in changes.items()}
    return changes, samples


def test_scalar_products_of_sketches_are_those_of_the_changes() -> None:
    errors = []
    for seed in range(30):
        draw = torch.Generator().manual_seed(seed)
        one = torch.randn(300_000, generator=draw)
        other = 0.5 * one + torch.randn(300_000, generator=draw)
        first, second = sketches({"a": one, "b": other}).values()
        assert first.norm == pytest.approx(float(one.norm()), rel=1e-5)
        exact = float(torch.nn.functional.cosine_similarity(one, other, dim=0))
        errors.append(float(first.values @ second.values) / first.norm / second.norm - exact)
    assert abs(np.mean(errors)) < 0.02  # no bias; the standard error of the mean is 0.005
    assert np.std(errors) < 0.04  # the method's is 0.025


def test_the_same_update_gives_the_same_bits_and_what_is_no_weight_does_not_count() -> None:
    one = torch.randn(5000)
    before: State = OrderedDict({"w": torch.zeros(5000), "n": torch.tensor(0), "extra..c": torch.zeros(3)})
    after: State = OrderedDict({"w": one, "n": torch.tensor(99), "extra..c": torch.full((3,), 9.0)})
    first, again = sketch(before, after), sketch(before, after)
    assert torch.equal(first.values, again.values)
    assert first.norm == pytest.approx(float(one.norm()))


@pytest.mark.parametrize("sites", [3, 5, 7, 12])
def test_honest_sites_that_differ_are_left_alone(sites: int) -> None:
    flagged: Counter[str] = Counter()
    for seed in range(60):
        changes, samples = honest(seed, sites)
        flagged.update(site for site, verdict in judge(sketches(changes), samples).items() if verdict.outlier)
    assert sum(flagged.values()) <= 0.005 * 60 * sites


def test_a_site_that_sends_ten_times_the_opposite_stands_out_and_nobody_else() -> None:
    federation = SmallFederation(different_sites(7, apart=0.3), "fedavg")
    before = federation.aggregator.get_global_model_params()
    for index, site in enumerate(federation.roster):
        answer = federation.fit(site)
        if site == "site-2":
            answer["weight"] = before["weight"] - 10 * (answer["weight"] - before["weight"])
        federation.aggregator.add_local_trained_result(index, answer, len(federation.sites[site][1]))
    found = federation.aggregator.unusual()
    assert [site for site, told in found.items() if told["outlier"]] == ["site-2"]
    assert found["site-2"]["cosine"] < -0.3
    assert set(found["site-0"]) == {"update_norm", "cosine", "outlier"}
    federation.aggregator.aggregate()
    assert federation.aggregator.unusual() == {}


def test_an_update_that_is_a_hundred_times_too_long_stands_out_whatever_its_direction() -> None:
    changes, samples = honest(1, 7)
    changes["s3"] = 100 * changes["s3"]
    assert judge(sketches(changes), dict.fromkeys(samples, 50))["s3"].outlier


def test_more_samples_account_for_more_length() -> None:
    common = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    changes = {site: common * (20 if site == "big" else 1) for site in ("a", "b", "c", "d", "big")}
    alike = dict.fromkeys(changes, 100)
    assert judge(sketches(changes), alike)["big"].outlier
    assert not judge(sketches(changes), {**alike, "big": 2000})["big"].outlier


def test_with_fewer_than_three_nothing_stands_out() -> None:
    changes = {"a": torch.ones(10), "b": torch.full((10,), -1000.0)}
    found = judge(sketches(changes), {"a": 1, "b": 1})
    assert not any(verdict.outlier for verdict in found.values())
    assert found["a"].cosine == pytest.approx(-1)
    assert judge(sketches({"a": torch.ones(10)}), {"a": 1})["a"].cosine is None


def test_sites_that_changed_nothing_and_numbers_beyond_range_are_no_error() -> None:
    changes = {"a": torch.zeros(9), "b": torch.ones(9), "c": torch.ones(9), "d": torch.full((9,), 3e38)}
    found = judge(sketches(changes), dict.fromkeys(changes, 5))
    assert (found["a"].update_norm, found["a"].cosine, found["a"].outlier) == (0, None, False)
    assert found["d"].outlier
    assert all(verdict.update_norm is None or math.isfinite(verdict.update_norm) for verdict in found.values())

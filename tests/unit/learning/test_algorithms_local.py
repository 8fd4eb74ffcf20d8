"""FedProx and SCAFFOLD change what a site does: held against their papers' recursions, and against known optima."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_federation import TRAINING, SmallFederation, descend, different_sites, gradient, optimum

from fl_app.errors import PluginError, TrainingError
from fl_app.learning.extra import declared, weights_of
from fl_app.learning.scaffold import Scaffold
from fl_app.plugins import Update

SITES = different_sites()
COUNTS = np.array([len(targets) for _, targets in SITES.values()])
CONTROL = "extra..control.weight"


# --- FedProx ----------------------------------------------------------------------------------------------------


def test_fedprox_steps_along_the_gradient_of_its_loss_and_the_proximal_term() -> None:
    federation, w, mu = SmallFederation(SITES, "fedprox", mu=0.5), np.zeros(3), 0.5
    for _ in range(4):
        ends = []
        for site in SITES.values():
            end = w.copy()
            for _ in range(5):
                end = end - 0.05 * (gradient(site, end) + mu * (end - w))
            ends.append(end)
        w = (COUNTS[:, None] * np.stack(ends)).sum(0) / COUNTS.sum()
        np.testing.assert_allclose(federation.round(), w, rtol=1e-10)


def test_fedprox_without_the_term_is_fedavg_to_the_bit() -> None:
    prox, plain = SmallFederation(SITES, "fedprox", mu=0), SmallFederation(SITES, "fedavg")
    for _ in range(3):
        assert np.array_equal(prox.round(), plain.round())


def test_a_strong_term_keeps_sites_near_to_where_they_began() -> None:
    far = np.linalg.norm(SmallFederation(SITES, "fedavg").round())
    near = np.linalg.norm(SmallFederation(SITES, "fedprox", mu=10).round())
    assert 0 < near < 0.6 * far


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_fedprox_works_with_every_optimizer(optimizer: str) -> None:
    training = replace(TRAINING, optimizer=optimizer)  # type: ignore[arg-type]
    prox, plain = SmallFederation(SITES, "fedprox", training, mu=1.0), SmallFederation(SITES, "fedavg", training)
    assert not np.array_equal(prox.round(), plain.round())


# --- SCAFFOLD ---------------------------------------------------------------------------------------------------


class Paper:
    """Algorithm 1 of Karimireddy et al., option II; everything float64."""

    def __init__(self, steps: int = 5, rate: float = 0.05, server_rate: float = 1.0, decay: float = 0.0) -> None:
        self.steps, self.rate, self.server_rate, self.decay = steps, rate, server_rate, decay
        self.x, self.c = np.zeros(3), np.zeros(3)
        self.own = {site: np.zeros(3) for site in SITES}

    def round(self, answered: Sequence[str]) -> np.ndarray:
        ways, changes = [], []
        for site in answered:
            y = self.x.copy()
            for _ in range(self.steps):
                y = y - self.rate * (gradient(SITES[site], y) + self.decay * y - self.own[site] + self.c)
            renewed = self.own[site] - self.c + (self.x - y) / (self.steps * self.rate)
            ways.append(y - self.x)
            changes.append(renewed - self.own[site])
            self.own[site] = renewed
        self.x = self.x + self.server_rate * np.mean(ways, axis=0)
        self.c = self.c + len(answered) / len(SITES) * np.mean(changes, axis=0)
        return self.x


@pytest.mark.parametrize("server_rate", [1.0, 0.5])
def test_scaffold_is_the_papers_also_when_not_everybody_answers(server_rate: float) -> None:
    federation, paper = SmallFederation(SITES, "scaffold", server_learning_rate=server_rate), Paper()
    paper.server_rate = server_rate
    for order in ([0, 1, 2], [0, 2], [1], [0, 1, 2], [2, 1]):
        expected = paper.round([f"site-{index}" for index in order])
        np.testing.assert_allclose(federation.round(order), expected, rtol=1e-10)
    now = federation.aggregator.get_global_model_params()
    np.testing.assert_allclose(now[CONTROL][0], paper.c, rtol=1e-10)
    np.testing.assert_allclose(paper.c, np.mean(list(paper.own.values()), axis=0))


def test_with_weight_decay_the_controls_hold_the_decays_gradient_as_well() -> None:
    federation = SmallFederation(SITES, "scaffold", replace(TRAINING, weight_decay=0.3))
    paper = Paper(decay=0.3)
    for _ in range(4):
        np.testing.assert_allclose(federation.round(), paper.round(list(SITES)), rtol=1e-10)


def test_scaffold_reaches_the_optimum_of_different_sites_and_fedavg_does_not() -> None:
    training = replace(TRAINING, learning_rate=0.1)
    best = optimum(SITES, np.full(3, 1 / 3))
    scaffold = SmallFederation(SITES, "scaffold", training)
    fedavg = SmallFederation(SITES, "fedavg", training)
    for _ in range(100):
        found = scaffold.round()
        drifted = fedavg.round()
    assert np.linalg.norm(found - best) < 1e-6
    assert np.linalg.norm(drifted - optimum(SITES, COUNTS / COUNTS.sum())) > 0.2
    ends = [descend(site, drifted, rate=0.1) for site in SITES.values()]
    np.testing.assert_allclose(np.average(ends, axis=0, weights=COUNTS), drifted, atol=1e-9)  # and stays there


def test_a_fit_with_the_same_global_and_local_state_and_round_gives_the_same_bits() -> None:
    federation = SmallFederation(SITES, "scaffold")
    federation.round()
    federation.round()
    kept = federation.trainers["site-1"].local_state()
    assert kept is not None
    first = federation.fit("site-1")
    other = federation.fit("site-1")  # the control has moved on
    federation.trainers["site-1"].restore_local(kept)
    again = federation.fit("site-1")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["weight"], other["weight"])


def test_a_run_that_goes_on_with_what_sites_and_aggregator_kept_is_the_same_to_the_bit() -> None:
    whole, resumed = SmallFederation(SITES, "scaffold"), SmallFederation(SITES, "scaffold")
    for _ in range(3):
        whole.round()
    resumed.aggregator.set_global_model_params(whole.aggregator.get_global_model_params())
    resumed.aggregator.restore(whole.aggregator.kept())
    for site, trainer in whole.trainers.items():
        resumed.trainers[site].restore_local(trainer.local_state())
    resumed.args.round_idx = 3
    for _ in range(3):
        assert np.array_equal(whole.round(), resumed.round())


def test_what_travels_is_declared_and_the_model_is_without_it() -> None:
    federation = SmallFederation(SITES, "scaffold")
    sent = federation.fit("site-0")
    now = federation.aggregator.get_global_model_params()
    assert list(sent) == list(now) == ["weight", CONTROL] == list(federation.aggregator.template)
    assert list(federation.trainers["site-0"].declared) == ["weight", CONTROL]
    assert list(weights_of(now)) == ["weight"]


def test_a_global_state_without_the_control_is_not_this_sites() -> None:
    trainer = SmallFederation(SITES, "scaffold").trainers["site-0"]
    with pytest.raises(TrainingError, match=r"extra\.\.control\.weight is missing"):
        trainer.set_model_params({"weight": torch.zeros(1, 3, dtype=torch.float64)})


def test_a_control_of_another_model_is_refused() -> None:
    federation = SmallFederation(SITES, "scaffold")
    federation.trainers["site-0"].restore_local(OrderedDict(weight=torch.zeros(7)))
    with pytest.raises(TrainingError, match="another model"):
        federation.fit("site-0")


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_scaffold_refuses_optimizers_that_it_is_no_theory_of(optimizer: str) -> None:
    with pytest.raises(PluginError, match=f"training.optimizer is {optimizer}"):
        SmallFederation(SITES, "scaffold", replace(TRAINING, optimizer=optimizer))  # type: ignore[arg-type]


def test_controls_are_of_weights_alone() -> None:
    before = OrderedDict(
        {"w": torch.zeros(2), "n.running_mean": torch.zeros(2), "n.num_batches_tracked": torch.tensor(0)}
    )
    scaffold = Scaffold({"server_learning_rate": 2.0})
    form = declared(before, scaffold)
    assert list(form) == ["w", "n.running_mean", "n.num_batches_tracked", "extra..control.w"]
    sent = OrderedDict(
        {
            "w": torch.ones(2),
            "n.running_mean": torch.ones(2),
            "n.num_batches_tracked": torch.tensor(3),
            "extra..control.w": torch.ones(2),
        }
    )
    scaffold.prepare(4, 1)
    after = scaffold.aggregate(
        OrderedDict([*before.items(), ("extra..control.w", torch.zeros(2))]), [Update("a", 7, sent)]
    )
    assert after["w"].tolist() == [2, 2]
    assert after["n.running_mean"].tolist() == [1, 1]
    assert after["n.num_batches_tracked"] == 3
    assert after["extra..control.w"].tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("name", "reason"), [("control.w", "could be the name"), ("w", "the model calls one of its own")]
)
def test_extra_tensors_that_could_be_weights_are_refused(name: str, reason: str) -> None:
    class Careless:
        def aggregate(self, global_state: object, updates: object) -> None: ...

        def extra(self, form: object) -> dict[str, torch.Tensor]:
            return {name: torch.zeros(1)}

    with pytest.raises(PluginError, match=reason):
        declared({"w": torch.zeros(1)}, Careless())  # type: ignore[arg-type]

"""Federated training in one process: the trainer and the aggregation of :mod:`fl_app.learning`, without the network.

A model that one site trains alone is a federation of that site, and the pooled model is a federation of one site that
has everybody's samples. So all models come from the same code with the same budget: rounds times epochs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fl_app.compare.pool import Samples, loader
from fl_app.config import Plugin, Training
from fl_app.learning.device import make_reproducible
from fl_app.learning.fit import fit, round_seed
from fl_app.learning.state import copy_of
from fl_app.learning.targets import balanced_weights
from fl_app.plugins import ModelSpec, Update, call_plugin

CPU = torch.device("cpu")


def make_model(plugin: Plugin, classes: int, seed: int) -> nn.Module:
    """Make the model with its first weights, which depend on the seed alone."""
    make_reproducible(seed)
    model: nn.Module = call_plugin("federate.models", plugin.name, ModelSpec(plugin.options, classes))
    return model


def weights_of_classes(samples: Samples, training: Training, classes: int) -> Tensor | None:
    """Return the class weights that a site with these samples uses, or None for none."""
    if training.class_weights == "none":
        return None
    return balanced_weights(loader(samples, training.batch_size), classes, samples.class_counts)


def train(
    sites: Mapping[str, Samples], *, model: Plugin, aggregation: Plugin, training: Training, classes: int
) -> nn.Module:
    """Train a federation of these sites.

    Args:
        sites: each site's training samples, in the roster's order.
        model: the plug-in that makes the model.
        aggregation: the plug-in that combines the sites' updates.
        training: rounds, epochs and the rest of the fit.
        classes: the number of classes.

    Returns:
        The global model after the last round.
    """
    net = make_model(model, classes, training.seed)
    combine = call_plugin("federate.aggregations", aggregation.name, aggregation.options)
    batches = {site: loader(samples, training.batch_size) for site, samples in sites.items()}
    weights = {site: weights_of_classes(samples, training, classes) for site, samples in sites.items()}
    state = copy_of(net)
    for round_ in range(training.rounds):
        updates = []
        for site, samples in sites.items():
            net.load_state_dict(state)
            seed = round_seed(training.seed, site, round_)
            fit(net, batches[site], training, seed=seed, class_weights=weights[site], device=CPU)
            updates.append(Update(site, len(samples), copy_of(net)))
        state = combine.aggregate(state, updates)
    net.load_state_dict(state)
    return net

"""FedML's aggregators at the hub: they keep the sites' updates and hand them to the aggregation plug-in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.errors import PluginError
from fl_app.learning.state import copy_of, difference
from fl_app.plugins import Aggregation, Update

from fedml.core.alg_frame.server_aggregator import ServerAggregator  # isort: skip
from fedml.cross_silo.server.fedml_aggregator import FedMLAggregator  # isort: skip


class GlobalModel(ServerAggregator):  # type: ignore[misc]  # FedML is not typed
    """The global model, and the plug-in that makes the next one."""

    def __init__(self, model: nn.Module, args: Any, *, aggregation: Aggregation) -> None:
        super().__init__(model, args)
        self._aggregation = aggregation
        self.sites: Sequence[str] = ()

    def get_model_params(self) -> OrderedDict[str, Tensor]:
        """Return a copy of the weights."""
        return copy_of(self.model)

    def set_model_params(self, model_parameters: Mapping[str, Tensor]) -> None:
        """Take weights."""
        self.model.load_state_dict(model_parameters)

    def aggregate(self, raw_client_model_or_grad_list: list[tuple[int, Mapping[str, Tensor]]]) -> Any:
        """Return the next global weights from (samples, weights) of ``sites``, in their order.

        Raises:
            PluginError: the plug-in failed, or returned what is not the model's weights.
        """
        before = self.get_model_params()
        updates = [
            Update(site, samples, OrderedDict((name, state[name]) for name in before))
            for site, (samples, state) in zip(self.sites, raw_client_model_or_grad_list, strict=True)
        ]
        name = type(self._aggregation).__name__
        try:
            after = self._aggregation.aggregate(before, updates)
        except PluginError:
            raise
        except Exception as error:  # whatever a third party's aggregation does
            raise PluginError(f"The aggregation {name} failed: {type(error).__name__}: {error}.") from error
        wrong = difference(after, before)
        if wrong:
            raise PluginError(f"The aggregation {name} returned what is not the model: {wrong}.")
        return OrderedDict((key, after[key]) for key in before)

    def test(self, test_data: Any, device: Any, args: Any) -> None:
        """Nothing: the aggregator holds no data; the sites evaluate."""


class RosterAggregator(FedMLAggregator):  # type: ignore[misc]
    """Aggregates the updates that are there, in the roster's order, whatever the order in which they came."""

    def __init__(self, roster: tuple[str, ...], device: Any, args: Any, model: GlobalModel) -> None:
        nobody: dict[int, Any] = dict.fromkeys(range(len(roster)))
        super().__init__(None, None, 0, nobody, nobody, {}, len(roster), device, args, model)
        self.roster = roster
        self.template = model.get_model_params()

    def updates(self) -> list[Update]:
        """Return the updates of this round, in the roster's order."""
        return [
            Update(site, self.sample_num_dict[index], self.model_dict[index])
            for index, site in enumerate(self.roster)
            if self.flag_client_model_uploaded_dict[index]
        ]

    def aggregate(self) -> tuple[OrderedDict[str, Tensor], list[Any], list[int]]:
        """Make the next global model of the updates that are there, and forget them.

        Returns:
            The global weights, the updates as FedML has them, and their places in the roster.
        """
        present = [index for index in range(self.client_num) if self.flag_client_model_uploaded_dict[index]]
        models = [(self.sample_num_dict[index], self.model_dict[index]) for index in present]
        models, kept = self.aggregator.on_before_aggregation(models)
        places = [present[index] for index in kept]
        self.aggregator.sites = [self.roster[index] for index in places]
        state = self.aggregator.on_after_aggregation(self.aggregator.aggregate(models))
        self.set_global_model_params(state)
        for index in range(self.client_num):
            self.flag_client_model_uploaded_dict[index] = False
        self.model_dict.clear()
        return state, models, places

"""FedML's aggregators at the hub: they keep the sites' updates and hand them to the aggregation plug-in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.errors import FlAppError, PluginError
from fl_app.learning.extra import declared, extra_of, weights_of, zeros_of
from fl_app.learning.folding import Fold, InRosterOrder, forget_waiting
from fl_app.learning.outliers import Sketch, judge, sketch
from fl_app.learning.protocol import Aggregation, ask
from fl_app.learning.state import copy_of, difference
from fl_app.plugins import Update

from fedml.core.alg_frame.server_aggregator import ServerAggregator  # isort: skip
from fedml.cross_silo.server.fedml_aggregator import FedMLAggregator  # isort: skip


class GlobalModel(ServerAggregator):  # type: ignore[misc]  # FedML is not typed
    """The global model, and the plug-in that makes the next one."""

    def __init__(self, model: nn.Module, args: Any, *, aggregation: Aggregation) -> None:
        """Begin with the model's weights, and zeros for the aggregation's extra tensors.

        Raises:
            PluginError: the extra tensors could be taken for weights.
        """
        super().__init__(model, args)
        self.aggregation = aggregation
        self.form = declared(model.state_dict(), aggregation)
        self._extra = zeros_of(extra_of(self.form))
        self.sites: Sequence[str] = ()

    def get_model_params(self) -> OrderedDict[str, Tensor]:
        """Return copies of the weights and the extra tensors."""
        extra = ((name, tensor.clone()) for name, tensor in self._extra.items())
        return OrderedDict([*copy_of(self.model).items(), *extra])

    def set_model_params(self, model_parameters: Mapping[str, Tensor]) -> None:
        """Take weights and extra tensors as they lie in memory, without a copy: nobody may change them afterwards."""
        self.model.load_state_dict(weights_of(model_parameters), assign=True)
        self._extra = extra_of(model_parameters)

    def now(self) -> OrderedDict[str, Tensor]:
        """Return the weights and the extra tensors as they lie in memory; not to be changed."""
        return OrderedDict([*self.model.state_dict().items(), *self._extra.items()])

    def aggregate(self, raw_client_model_or_grad_list: list[tuple[int, Mapping[str, Tensor]]]) -> Any:
        """Return the next global state from (samples, state) of ``sites``, in their order.

        Raises:
            PluginError: the plug-in failed, or returned what is not the model's state.
        """
        before = self.get_model_params()
        updates = [
            Update(site, samples, OrderedDict((name, state[name]) for name in before))
            for site, (samples, state) in zip(self.sites, raw_client_model_or_grad_list, strict=True)
        ]
        return self._checked(lambda: self.aggregation.aggregate(before, updates), before)

    def fold(self) -> Fold | None:
        """Return what updates are added to as they arrive, or None if the aggregation wants them all at once."""
        made: Fold | None = ask(self.aggregation, "fold", self.now())
        return made

    def folded(self, updates: InRosterOrder) -> OrderedDict[str, Tensor]:
        """Return the next global state from updates that were added as they came.

        Raises:
            PluginError: as :meth:`aggregate`.
        """
        return self._checked(updates.finish, self.form)

    def _checked(
        self, make: Callable[[], Mapping[str, Tensor]], form: Mapping[str, Tensor]
    ) -> OrderedDict[str, Tensor]:
        name = type(self.aggregation).__name__
        try:
            after = make()
        except FlAppError:
            raise
        except Exception as error:  # whatever a third party's aggregation does
            raise PluginError(f"The aggregation {name} failed: {type(error).__name__}: {error}.") from error
        wrong = difference(after, form)
        if wrong:
            raise PluginError(f"The aggregation {name} returned what is not the model: {wrong}.")
        return OrderedDict((key, after[key]) for key in form)

    def test(self, test_data: Any, device: Any, args: Any) -> None:
        """Nothing: the aggregator holds no data; the sites evaluate."""


class RosterAggregator(FedMLAggregator):  # type: ignore[misc]
    """Aggregates the updates that are there, in the roster's order, whatever the order in which they came."""

    def __init__(
        self, roster: tuple[str, ...], device: Any, args: Any, model: GlobalModel, *, folder: Path | None = None
    ) -> None:
        """Aggregate for a roster.

        Args:
            roster: the sites.
            device: FedML's.
            args: FedML's.
            model: the global model.
            folder: where updates may wait for their turn, if they are large.
        """
        nobody: dict[int, Any] = dict.fromkeys(range(len(roster)))
        super().__init__(None, None, 0, nobody, nobody, {}, len(roster), device, args, model)
        self.roster, self._folder = roster, folder
        forget_waiting(folder)
        self.template: OrderedDict[str, Tensor] = model.form
        self._folding: InRosterOrder | None = None
        self._sketches: dict[str, Sketch] = {}

    def prepare(self, sites: int, quorum: int | None = None) -> None:
        """Tell the aggregation how many sites there are: before the first round, and when sites join or leave.

        Args:
            sites: in the federation.
            quorum: the fewest updates with which a round may close; all sites if left out.

        Raises:
            PluginError: it cannot work with so few.
        """
        ask(self.aggregator.aggregation, "prepare", sites, quorum or sites)

    def kept(self) -> OrderedDict[str, Tensor]:
        """Return copies of what the aggregation must remember, for the checkpoint; nothing for most."""
        return ask(self.aggregator.aggregation, "kept") or OrderedDict()

    def restore(self, kept: OrderedDict[str, Tensor]) -> None:
        """Give back what :meth:`kept` returned.

        Raises:
            PluginError: it is not this aggregation's.
        """
        if kept and not hasattr(self.aggregator.aggregation, "restore"):
            name = type(self.aggregator.aggregation).__name__
            raise PluginError(f"The checkpoint holds what another aggregation keeps; {name} keeps nothing.")
        ask(self.aggregator.aggregation, "restore", kept)

    def unusual(self) -> dict[str, dict[str, Any]]:
        """Return how each update of this round compares with the others: to be called before :meth:`aggregate`.

        Returns:
            Site to ``update_norm``, ``cosine`` and ``outlier``; see :func:`fl_app.learning.outliers.judge`.
        """
        samples = {update.site: update.samples for update in self.updates()}
        found = judge({site: self._sketches[site] for site in samples}, samples)
        return {site: asdict(verdict) for site, verdict in found.items()}

    def expect(self, sites: Sequence[str]) -> None:
        """Begin a round: these sites are asked, and their updates are aggregated in this order.

        A place in it is what FedML calls an index.
        """
        self.roster, self.client_num = tuple(sites), len(sites)
        self.flag_client_model_uploaded_dict = dict.fromkeys(range(len(sites)), False)
        self.model_dict.clear()
        if self._folding:
            self._folding.forget()
        self._folding = None
        self._sketches.clear()

    def expect_also(self, sites: Sequence[str]) -> None:
        """Ask further sites in a round that is under way; they come last."""
        places = range(self.client_num, self.client_num + len(sites))
        self.roster, self.client_num = (*self.roster, *sites), self.client_num + len(sites)
        self.flag_client_model_uploaded_dict.update(dict.fromkeys(places, False))

    def add_local_trained_result(self, index: int, model_params: Mapping[str, Tensor], sample_num: int) -> None:
        """Take a site's update: into the sum at once, where the aggregation is one; else keep it, as FedML does."""
        self._sketches[self.roster[index]] = sketch(self.aggregator.now(), model_params)
        if self._folding is None:
            fold = self.aggregator.fold()
            self._folding = InRosterOrder(fold, folder=self._folder) if fold else None
        if self._folding is None:
            super().add_local_trained_result(index, model_params, sample_num)
            return
        self.sample_num_dict[index] = sample_num
        self.flag_client_model_uploaded_dict[index] = True
        self._folding.add(index, Update(self.roster[index], sample_num, OrderedDict(model_params)))

    def updates(self) -> list[Update]:
        """Return the updates of this round, in the roster's order; without their weights, if those are added up."""
        return [
            Update(site, self.sample_num_dict[index], self.model_dict.get(index, OrderedDict()))
            for index, site in enumerate(self.roster)
            if self.flag_client_model_uploaded_dict[index]
        ]

    def aggregate(self) -> tuple[OrderedDict[str, Tensor], list[Any], list[int]]:
        """Make the next global model of the updates that are there, and forget them.

        Returns:
            The global weights, the updates as FedML has them, and their places in the roster.
        """
        present = [index for index in range(self.client_num) if self.flag_client_model_uploaded_dict[index]]
        models = [(self.sample_num_dict[index], self.model_dict.get(index)) for index in present]
        places = present
        if self._folding:
            state = self.aggregator.folded(self._folding)
        else:
            models, kept = self.aggregator.on_before_aggregation(models)
            places = [present[index] for index in kept]
            self.aggregator.sites = [self.roster[index] for index in places]
            made = self.aggregator.aggregate(models)
            state = OrderedDict((name, tensor.clone()) for name, tensor in made.items())
        state = self.aggregator.on_after_aggregation(state)
        self.set_global_model_params(state)
        for index in range(self.client_num):
            self.flag_client_model_uploaded_dict[index] = False
        self.model_dict.clear()
        self._sketches.clear()
        self._folding = None
        return state, models, places

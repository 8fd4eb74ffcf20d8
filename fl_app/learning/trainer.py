"""FedML's ClientTrainer at a site: fits and evaluates the model on the site's own data."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.config import Training
from fl_app.errors import TrainingError
from fl_app.learning.extra import declared, weights_of
from fl_app.learning.fit import fit, round_seed
from fl_app.learning.held_out import HeldOut
from fl_app.learning.metrics import Evaluation, evaluate
from fl_app.learning.protocol import Aggregation, LocalRule, ask
from fl_app.learning.state import copy_of, difference, not_finite
from fl_app.learning.targets import balanced_weights, federation_counts

from fedml.core.alg_frame.client_trainer import ClientTrainer  # isort: skip

_log = logging.getLogger(__name__)

State = OrderedDict[str, Tensor]


class SiteTrainer(ClientTrainer):  # type: ignore[misc]  # FedML is not typed
    """What FedML's engine calls at a site.

    Attributes:
        train_loss: mean loss of the last fit.
        fit_seconds: its wall time.
        evaluation: of the last global model that was evaluated, None before the first.
        declared: names, shapes and types of what is sent and taken, as meta tensors.
    """

    def __init__(
        self,
        model: nn.Module,
        args: Any,
        *,
        site: str,
        training: Training,
        train_data: Any,
        classes: int,
        check: Callable[[], None] = lambda: None,
        aggregation: Aggregation | None = None,
    ) -> None:
        """Prepare to fit.

        Args:
            model: maps features to scores.
            args: FedML's.
            site: seeds the order of the samples.
            training: how to fit.
            train_data: the site's training batches, for the frequencies of the classes.
            classes: how many scores the model gives.
            check: called between batches; raises to stop.
            aggregation: what it changes at a site; None changes nothing.

        Raises:
            PluginError: the aggregation does not work with these settings.
        """
        super().__init__(model, args)
        self.declared = declared(model.state_dict(), aggregation)
        self._rule: LocalRule | None = ask(aggregation, "local", training) if aggregation else None
        self._global: State = OrderedDict()
        self._extra: State = OrderedDict()
        self._local: State | None = None
        self._site, self._training, self._check = site, training, check
        self._weights: Tensor | None = None
        if training.class_weights == "balanced":
            self._weights = balanced_weights(train_data, classes, federation_counts(train_data))
        self._held_out: HeldOut | None = None
        self._said_undefined = False
        self.train_loss = 0.0
        self.fit_seconds = 0.0
        self.evaluation: Evaluation | None = None

    def get_model_params(self) -> OrderedDict[str, Tensor]:
        """Return what is sent: a copy of the weights on the CPU, and the last fit's extra tensors."""
        return OrderedDict([*copy_of(self.model).items(), *self._extra.items()])

    def set_model_params(self, model_parameters: Mapping[str, Tensor]) -> None:
        """Take the global state: the weights, and the extra tensors of the aggregation.

        Raises:
            TrainingError: they are not of this site's model.
        """
        wrong = difference(model_parameters, self.declared)
        if wrong:
            raise TrainingError(
                f"The global model is not the one that this site has: {wrong}.",
                remedy="Aggregator and site need the same model, aggregation and options in their run files.",
            )
        if self._rule:
            self._global = OrderedDict(model_parameters)
        self.model.load_state_dict(weights_of(model_parameters))

    def local_state(self) -> State | None:
        """Return what the site's next fit has to be given; None before the first, and where nothing is remembered."""
        return self._local

    def restore_local(self, state: State | None) -> None:
        """Let the next fit go on from what :meth:`local_state` returned after the one before; None: from nothing."""
        self._local = state

    def train(self, train_data: Any, device: Any, args: Any) -> None:
        """Fit for one round, ``args.round_idx``.

        The result depends on the global state, the local state and the round alone, bit for bit.

        Raises:
            TrainingError: the fit has diverged.
            PluginError: what the aggregation does at a site failed.
        """
        began = time.perf_counter()
        if self._rule:
            ask(self._rule, "begin", self.model, self._global, self._local)
        self.train_loss = fit(
            self.model,
            train_data,
            self._training,
            seed=round_seed(self._training.seed, self._site, args.round_idx),
            class_weights=self._weights,
            device=device,
            check=self._check,
            rule=self._rule,
        )
        if self._rule:
            self._extra, self._local = ask(self._rule, "end")
            self._global = OrderedDict()
        self.fit_seconds = time.perf_counter() - began
        wrong = not_finite(self.model.state_dict()) or not_finite(self._extra)
        if wrong:
            raise TrainingError(f"The fit has diverged: {wrong}.", remedy="Lower training.learning_rate.")

    def test(self, test_data: Any, device: Any, args: Any) -> None:
        """Evaluate the weights that the model has now."""
        if self._held_out is None or self._held_out.source is not test_data:
            self._held_out = HeldOut(test_data or ())
        self.evaluation = evaluate(self.model, self._held_out, class_weights=self._weights, device=device)
        if self.evaluation.undefined and not self._said_undefined:
            self._said_undefined = True
            _log.warning("AUROC and AUPRC are not defined here: %s", self.evaluation.undefined)

    def tell_details(self) -> None:
        """Log what the last evaluation says beside the metrics that are sent."""
        details = self.evaluation.details.items() if self.evaluation else ()
        told = [f"{name} {value:.3g}" for name, value in details if value is not None and not name.startswith("au")]
        if told:
            _log.info("held-out: %s", ", ".join(told))

    def metrics(self) -> dict[str, float | int | None]:
        """Return the scalars of the last evaluation, by their names on the wire; none before the first."""
        found = self.evaluation
        if found is None:
            return {}
        return {"test_samples": found.samples, "test_loss": found.loss, "auroc": found.auroc, "auprc": found.auprc}

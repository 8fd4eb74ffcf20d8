"""Data sets, models and aggregations are entry points: a package of yours adds names, and this module finds them.

- ``federate.datasets``: ``load(spec: DatasetSpec)`` returns FedML's nine parts, see :data:`NineParts`.
- ``federate.models``: ``make(spec: ModelSpec)`` returns a ``torch.nn.Module``: features to one score per class.
- ``federate.aggregations``: ``make(options)`` returns an :class:`fl_app.learning.protocol.Aggregation`.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fl_app.errors import FlAppError, PluginError

if TYPE_CHECKING:
    from torch import Tensor

    State = OrderedDict[str, Tensor]

NineParts = tuple[int, int, int, Any, Any, dict[int, int], dict[int, Any], dict[int, Any], int]
"""FedML's data set: (client_num, train_data_num, test_data_num, train_data_global, test_data_global,
train_data_local_num_dict, train_data_local_dict, test_data_local_dict, class_num). A site finds its own data under
key 0. Loaders give batches (features, labels): features a tensor or a dict of tensors; labels a LongTensor ``[B]`` of
classes, a FloatTensor ``[B, K]`` of K yes-or-no labels, or a FloatTensor ``[B]`` of numbers. class_num is how many
scores a model gives: the number of classes, K, or 1."""

Group = Literal["federate.datasets", "federate.models", "federate.aggregations"]


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What a data set is asked for. ``data_dir`` is None on the aggregator: it holds no data, its loaders are empty."""

    name: str
    options: Mapping[str, Any]
    data_dir: Path | None
    site: str
    role: Literal["aggregator", "client"]
    batch_size: int
    seed: int


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model is made from: its options and the data set's class_num, the number of scores that it gives."""

    options: Mapping[str, Any] = field(default_factory=dict)
    class_num: int = 2


@dataclass(frozen=True, slots=True)
class Update:
    """What one site sent in one round: its weights, and the number of samples that they were fitted on."""

    site: str
    samples: int
    state: State

    def without_state(self) -> Update:
        """Return who and how many, without the weights."""
        return Update(self.site, self.samples, OrderedDict())


def load_plugin(group: Group, name: str) -> Callable[[Any], Any]:
    """Return the callable that is registered under a name.

    Raises:
        PluginError: nobody registered the name, two packages did, or the module behind it cannot be imported.
    """
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        if point not in found.setdefault(point.name, []):
            found[point.name].append(point)
    kind = group.removeprefix("federate.").rstrip("s")
    if name not in found:
        close = difflib.get_close_matches(name, found, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise PluginError(
            f"No {kind} is called {name!r}. Installed: {', '.join(sorted(found)) or 'none'}.",
            remedy=f"{hint}A package adds one with an entry point in the group {group!r}.",
        )
    targets = sorted({point.value for point in found[name]})
    if len(targets) > 1:
        raise PluginError(
            f"The {kind} {name!r} is registered more than once: {', '.join(targets)}.",
            remedy="Uninstall one of the packages, or rename its entry point.",
        )
    try:
        loaded: Callable[[Any], Any] = found[name][0].load()
    except FlAppError:
        raise
    except Exception as error:  # whatever a third party's module does when it is imported
        raise PluginError(
            f"The {kind} {name!r} ({targets[0]}) cannot be imported: {type(error).__name__}: {error}."
        ) from error
    return loaded


def call_plugin(group: Group, name: str, argument: object) -> Any:
    """Load a plug-in and call it; what it raises becomes an error that names it.

    Raises:
        PluginError: it cannot be loaded, or it raised something that is not a :class:`FlAppError` of its own.
    """
    plugin = load_plugin(group, name)
    try:
        return plugin(argument)
    except FlAppError:
        raise
    except Exception as error:
        kind = group.removeprefix("federate.").rstrip("s")
        raise PluginError(f"The {kind} {name!r} failed: {type(error).__name__}: {error}.") from error

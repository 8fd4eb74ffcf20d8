"""FedML 0.9.6 as the engine, without what it does on the side: importing this module makes ``import fedml`` quiet.

FedML's own front door (``fedml/__init__.py``, ``fedml.init``) imports its cloud platform, calls home without a
time-out, appends a root certificate to certifi's bundle, writes to the home folder and takes over the root logger and
``sys.stdout.write``. Nothing of that is needed to federate. So the package ``fedml`` is put into ``sys.modules``
with its search path and version but without running its front door, and the modules below are stand-ins whose every
function does nothing: telemetry (``fedml.mlops``), the ready-made data sets and models, what only refused switches
use, and torchvision, from which FedML only takes names. The managers, messages, trainers and aggregators are FedML's
own, from its own files, unchanged.

Import this module before anything of FedML; everything in ``fl_app`` that needs FedML does.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from fl_app.errors import ConfigError

VERSION = "0.9.6"

#: Module trees of FedML that are stood in for. The second half stands behind the switches that are refused below; it is
#: a fifth of a node's start.
STAND_INS = (
    "fedml.mlops",
    "fedml.core.mlops",
    "fedml.data",
    "fedml.model",
    "fedml.core.data",
    "fedml.core.contribution",
    "fedml.core.dp.budget_accountant",
    "fedml.core.security.attack",
    "fedml.core.security.defense",
)

#: Stood in for only where it is not installed: a model of yours may need the real one.
IF_NOT_INSTALLED = ("torchvision",)

#: FedML's switches that do nothing or harm in cross-silo training, and why.
REFUSED_SWITCHES = {
    "using_mlops": "it sends telemetry to FedML's cloud",
    "enable_dp": "its local noise is the same at every site, unclipped and without accounting",
    "enable_fhe": "it encrypts nothing and the sites train alone",
    "enable_attack": "it poisons the training",
    "enable_defense": "its defences are chosen by `aggregation` here, so that they are recorded with the model",
    "enable_contribution": "it needs the sites' data at the aggregator",
}


def _nothing(*_args: object, **_kwargs: object) -> None:
    """Stand in for a function whose effect is not wanted."""


class _AnyName(type):
    """A class that has every attribute, so that ``class X(torchvision.some.Thing)`` can be executed."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing


class _StandIn(ModuleType):
    """A module that has every name: classes for CapitalNames, functions that do nothing otherwise."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {"__init__": _nothing}) if name[:1].isupper() else _nothing


class _StandInFinder(MetaPathFinder, Loader):
    """Supplies the stand-ins of these module trees, whatever submodule of them is asked for."""

    def __init__(self, trees: tuple[str, ...]) -> None:
        self._trees = trees

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(fullname == tree or fullname.startswith(f"{tree}.") for tree in self._trees):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def install() -> None:
    """Put the quiet package in place; a second call does nothing.

    Raises:
        ConfigError: FedML is not installed, or in a version whose insides are not known here.
    """
    if isinstance(sys.modules.get("fedml.mlops"), _StandIn):
        return
    try:
        distribution = importlib.metadata.distribution("fedml")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError("FedML is not installed.", remedy=f"pip install --no-deps fedml=={VERSION}") from None
    if distribution.version != VERSION:
        raise ConfigError(
            f"FedML {distribution.version} is installed; this application works with the insides of {VERSION}.",
            remedy=f"pip install --no-deps fedml=={VERSION}",
        )
    sys.meta_path.insert(0, _StandInFinder(STAND_INS))
    sys.meta_path.append(_StandInFinder(IF_NOT_INSTALLED))
    package = ModuleType("fedml")
    package.__path__ = [str(Path(str(distribution.locate_file("fedml"))))]
    package.__spec__ = ModuleSpec("fedml", None, is_package=True)
    package.__dict__["__version__"] = VERSION
    sys.modules["fedml"] = package
    package.__dict__["mlops"] = importlib.import_module("fedml.mlops")


def arguments(settings: dict[str, Any], *, rank: int, device: object) -> SimpleNamespace:
    """Return FedML's ``args``: the flattened sections of its file, as its own loader would make them.

    Args:
        settings: key to value over all sections.
        rank: 0 for the aggregator, 1 for a site, which to its own FedML is the only one.
        device: the torch device that FedML moves models to.

    Raises:
        ConfigError: a switch is on that does nothing or harm.
    """
    for switch, harm in REFUSED_SWITCHES.items():
        if settings.get(switch):
            raise ConfigError(f"fedml_config.yaml: {switch} is on, and is refused: {harm}.", remedy="Remove it.")
    optimizer = settings.get("federated_optimizer", "FedAvg")
    if optimizer != "FedAvg":
        raise ConfigError(
            f"fedml_config.yaml: federated_optimizer is {optimizer!r}; FedML's cross-silo engine runs FedAvg only.",
            remedy="Set it to FedAvg and choose the aggregation under federate_args.aggregation.",
        )
    return SimpleNamespace(
        **{
            **settings,
            "federated_optimizer": "FedAvg",
            "training_type": "cross_silo",
            "scenario": "horizontal",
            "backend": "GRPC",
            "rank": rank,
            "process_id": rank,
            "n_proc_in_silo": 1,
            "proc_rank_in_silo": 0,
            "device": device,
        }
    )


install()

"""A node's run files, read once at the door: ``fedml_config.yaml``, ``grpc_ipconfig.csv`` and ``gpu_mapping.yaml``.

FedML ignores a file that is missing or broken and runs on with its defaults; here every fault is an error that names
the file and the key, and all faults of a file come at once.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from fl_app.errors import ConfigError

CONFIG_FILE = "fedml_config.yaml"
ADDRESS_FILE = "grpc_ipconfig.csv"
GPU_FILE = "gpu_mapping.yaml"

Role = Literal["aggregator", "client"]


@dataclass(frozen=True, slots=True)
class Plugin:
    """A data set, model or aggregation by its entry-point name, and its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Training ends when ``metric`` has not got better by more than ``min_delta`` for ``patience`` rounds."""

    metric: Literal["test_loss", "auroc", "auprc"]
    patience: int
    min_delta: float = 0.0


@dataclass(frozen=True, slots=True)
class Training:
    """How a site fits its part of a round; ``rounds`` is the whole run's."""

    rounds: int
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Literal["sgd", "adam", "adamw"]
    weight_decay: float
    class_weights: Literal["balanced", "none"]
    seed: int
    early_stopping: EarlyStopping | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is asked in a round, when it closes, and how many checkpoints are kept.

    ``quorum`` None: all that are asked; ``deadline_seconds`` None: there is no deadline.
    """

    quorum: int | None = None
    deadline_seconds: float | Literal["adaptive"] | None = None
    selection: Literal["all", "fraction", "data_size"] = "all"
    fraction: float = 1.0
    checkpoints_kept: int = 3


@dataclass(frozen=True, slots=True)
class Wandb:
    """Weights & Biases, off by default. The key is never in a file."""

    enabled: bool = False
    project: str = "federate"
    entity: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where the aggregator listens, as the federation's plan has it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All that one node knows of its run. A site's has an empty roster: it knows itself and the aggregator."""

    federation: str
    node: str
    role: Role
    tls_name_of_aggregator: str
    aggregator: Address
    dataset: Plugin
    model: Plugin
    aggregation: Plugin
    training: Training
    policy: Policy
    message_limit: int
    wandb: Wandb
    gpu_processes: tuple[int, ...]
    roster: tuple[str, ...] = ()
    compression: Literal["none", "bfloat16", "float16", "zstd"] = "none"
    fedml: Mapping[str, Any] = field(default_factory=dict)
    """FedML's own settings, all sections flattened into one, ``federate_args`` left out."""


def read_config(folder: Path) -> RunConfig:
    """Read a node's run files.

    Args:
        folder: holds the three files; paths inside ``fedml_config.yaml`` are relative to it.

    Raises:
        ConfigError: a file is missing, cannot be parsed, or lacks or misstates a key; all of them are named.
    """
    path = folder / CONFIG_FILE
    sections = _read_yaml(path)
    reader = _Reader(path)
    settings: dict[str, Any] = {}
    for name, section in sections.items():
        if not isinstance(section, dict):
            reader.fault(str(name), section, "a section of keys and values")
        elif name != "federate_args":
            settings |= section
    own = sections.get("federate_args")
    if not isinstance(own, dict):
        reader.fault("federate_args", own, "the section that Federate writes")
        own = {}
    role = reader.choice(own, "role", ("aggregator", "client"))
    node = reader.text(own, "node")
    config = RunConfig(
        federation=reader.text(own, "federation"),
        node=node,
        role="aggregator" if role == "aggregator" else "client",
        tls_name_of_aggregator=reader.text(own, "tls_name_of_aggregator"),
        aggregator=_aggregator_address(folder / ADDRESS_FILE),
        dataset=reader.plugin(own, "dataset"),
        model=reader.plugin(own, "model"),
        aggregation=reader.plugin(own, "aggregation"),
        training=_training(reader, settings, own),
        policy=_policy(reader, own) if role == "aggregator" else Policy(),
        message_limit=reader.whole(own, "message_limit_mib", least=1) << 20,
        wandb=_wandb(reader, own),
        gpu_processes=_gpu_processes(
            folder / GPU_FILE, str(settings.get("gpu_mapping_key") or "mapping_default"), node
        ),
        roster=reader.names(own, "roster") if role == "aggregator" else (),
        compression=_compression(reader, own),
        fedml=settings,
    )
    if config.roster and config.policy.quorum and config.policy.quorum > len(config.roster):
        reader.fault("federate_args.quorum", config.policy.quorum, f"at most the roster's {len(config.roster)} sites")
    reader.done()
    return config


def _training(reader: _Reader, settings: Mapping[str, Any], own: Mapping[str, Any]) -> Training:
    optimizer = reader.choice(own, "optimizer", ("sgd", "adam", "adamw"))
    weights = reader.choice(own, "class_weights", ("balanced", "none"))
    return Training(
        rounds=reader.whole(settings, "comm_round", least=1),
        epochs=reader.whole(settings, "epochs", least=1),
        batch_size=reader.whole(settings, "batch_size", least=1),
        learning_rate=reader.number(settings, "learning_rate", above=0.0),
        optimizer=optimizer,  # type: ignore[arg-type]  # checked by choice()
        weight_decay=reader.number(own, "weight_decay", least=0.0),
        class_weights=weights,  # type: ignore[arg-type]
        seed=reader.whole(own, "seed", least=0),
        early_stopping=_early_stopping(reader, own),
    )


def _early_stopping(reader: _Reader, own: Mapping[str, Any]) -> EarlyStopping | None:
    found = own.get("early_stopping")
    if found is None:
        return None
    if not isinstance(found, dict):
        reader.fault("federate_args.early_stopping", found, "metric, patience and min_delta, or nothing")
        return None
    return EarlyStopping(
        metric=reader.choice(found, "metric", ("test_loss", "auroc", "auprc")),  # type: ignore[arg-type]
        patience=reader.whole(found, "patience", least=1),
        min_delta=reader.number(found, "min_delta", least=0.0),
    )


def _policy(reader: _Reader, own: Mapping[str, Any]) -> Policy:
    return Policy(
        quorum=reader.whole(own, "quorum", least=1) if own.get("quorum") is not None else None,
        deadline_seconds=_deadline(reader, own),
        selection=reader.choice(own, "selection", ("all", "fraction", "data_size")),  # type: ignore[arg-type]
        fraction=reader.number(own, "fraction", above=0.0),
        checkpoints_kept=reader.whole(own, "checkpoints_kept", least=1),
    )


def _deadline(reader: _Reader, own: Mapping[str, Any]) -> float | Literal["adaptive"] | None:
    found = own.get("round_deadline_seconds")
    if found is None or found == "adaptive":
        return found
    return reader.number(own, "round_deadline_seconds", above=0.0)


def _compression(reader: _Reader, own: Mapping[str, Any]) -> Literal["none", "bfloat16", "float16", "zstd"]:
    if own.get("compression") is None:  # run files from before there was a choice
        return "none"
    found = reader.choice(own, "compression", ("none", "bfloat16", "float16", "zstd"))
    return found  # type: ignore[return-value]  # checked by choice()


def _wandb(reader: _Reader, own: Mapping[str, Any]) -> Wandb:
    found = own.get("wandb") or {}
    if not isinstance(found, dict):
        reader.fault("federate_args.wandb", found, "enabled, project and entity")
        return Wandb()
    entity = found.get("entity")
    return Wandb(bool(found.get("enabled")), str(found.get("project") or "federate"), str(entity) if entity else None)


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist.", remedy="--config names the folder with the run files.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where} is not YAML: {getattr(error, 'problem', error)}.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds {type(found).__name__}; sections of keys and values are expected.")
    return found


def _aggregator_address(path: Path) -> Address:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist.", remedy="It names the aggregator's address and port.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    for row in rows:
        if (row.get("eid") or "").strip() == "0":
            host, port = (row.get("grpc_server_ip") or "").strip(), (row.get("grpc_server_port") or "").strip()
            if host and port.isdecimal() and 0 < int(port) < 65536:
                return Address(host, int(port))
            raise ConfigError(f"{path}: the aggregator's row says {host or 'no address'}:{port or 'no port'}.")
    raise ConfigError(f"{path} has no row with eid 0, the aggregator's.", remedy="Expected: 0,0,<address>,<port>")


def _gpu_processes(path: Path, key: str, node: str) -> tuple[int, ...]:
    hosts = _read_yaml(path).get(key)
    if not isinstance(hosts, dict) or not hosts:
        raise ConfigError(f"{path} has no {key!r} with hosts and their processes per GPU.")
    found = hosts.get(node, next(iter(hosts.values())) if len(hosts) == 1 else None)
    if not isinstance(found, list) or not all(isinstance(n, int) and n >= 0 for n in found):
        raise ConfigError(f"{path}: {key}.{node} is {found!r}; a list of processes per GPU is expected, such as [1].")
    return tuple(found)


class _Reader:
    """Takes typed values out of the file's sections and gathers every fault."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._faults: list[str] = []

    def fault(self, key: str, found: object, allowed: str) -> None:
        self._faults.append(f"{self._path}: {key} is {found!r}; expected: {allowed}.")

    def done(self) -> None:
        if self._faults:
            raise ConfigError("\n".join(self._faults), remedy="The run files are written from federation.yaml.")

    def text(self, section: Mapping[str, Any], key: str) -> str:
        found = section.get(key)
        if isinstance(found, str) and found:
            return found
        self.fault(key, found, "a text")
        return ""

    def choice(self, section: Mapping[str, Any], key: str, allowed: tuple[str, ...]) -> str:
        found = section.get(key)
        if found in allowed:
            return str(found)
        self.fault(key, found, "one of " + ", ".join(allowed))
        return allowed[0]

    def whole(self, section: Mapping[str, Any], key: str, *, least: int) -> int:
        found = section.get(key)
        if isinstance(found, int) and not isinstance(found, bool) and found >= least:
            return found
        self.fault(key, found, f"a whole number of at least {least}")
        return least

    def number(
        self, section: Mapping[str, Any], key: str, *, least: float = -math.inf, above: float = -math.inf
    ) -> float:
        found: Any = section.get(key)
        is_number = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
        if is_number and found >= least and found > above:
            return float(found)
        self.fault(key, found, f"a number above {above}" if above > -math.inf else f"a number of at least {least}")
        return 1.0

    def plugin(self, section: Mapping[str, Any], key: str) -> Plugin:
        found = section.get(key)
        if isinstance(found, dict) and isinstance(found.get("name"), str):
            options = found.get("options") or {}
            if isinstance(options, dict):
                return Plugin(found["name"], options)
        self.fault(key, found, "a name and options")
        return Plugin("")

    def names(self, section: Mapping[str, Any], key: str) -> tuple[str, ...]:
        found: Any = section.get(key)
        is_list = isinstance(found, list) and found and all(isinstance(n, str) and n for n in found)
        if is_list and len(set(found)) == len(found):
            return tuple(found)
        self.fault(key, found, "a list of the sites' names, each once")
        return ()

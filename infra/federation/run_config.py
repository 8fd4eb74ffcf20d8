"""What a node is given to run: FedML's three files, written from the federation, never by hand.

A site's files name the site and the aggregator and nobody else, so adding or removing one site changes no byte at
another. FedML flattens all sections of its file into one namespace, the later winning, which is why ``federate_args``
stands first: ``dataset``, ``model`` and ``role`` mean there what this toolkit means, and FedML's own sections override.
"""

from __future__ import annotations

from typing import Any

import yaml

from infra.federation.derive import AGGREGATOR_ID, Node, nodes
from infra.federation.model import Federation

CONFIG_FILE = "fedml_config.yaml"
ADDRESS_FILE = "grpc_ipconfig.csv"
GPU_FILE = "gpu_mapping.yaml"
GPU_KEY = "mapping_default"

#: On the wire a site goes by its name; FedML still wants a number, and at a site it is always this one.
_OWN_RANK = 1


def run_files(federation: Federation, node: Node) -> dict[str, str]:
    """Return the run files of one node: file name to text, the same bytes for the same federation.

    Paths inside ``fedml_config.yaml`` are relative to the folder that the files lie in.
    """
    return {
        CONFIG_FILE: _yaml(_fedml_config(federation, node)),
        ADDRESS_FILE: _addresses(federation, node),
        GPU_FILE: _yaml({GPU_KEY: _gpu_hosts(federation, node)}),
    }


def run_id(federation: Federation) -> str:
    """Return FedML's run id; it names the folder of the results as well."""
    return federation.name


def _yaml(value: dict[str, Any]) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000))


def _fedml_config(federation: Federation, node: Node) -> dict[str, Any]:
    training, wandb = federation.training, federation.tracking.wandb
    is_server = node.role == "aggregator"
    clients = len(federation.participants) if is_server else 1
    return {
        "federate_args": _federate_args(federation, node),
        "common_args": {
            "training_type": "cross_silo",
            "scenario": "horizontal",
            "using_mlops": False,
            "random_seed": training.seed,
            "config_version": "release",
            "run_id": run_id(federation),
            "role": "server" if is_server else "client",
            "rank": 0 if is_server else _OWN_RANK,
        },
        "data_args": {"dataset": training.dataset.name},
        "model_args": {"model": training.model.name},
        "train_args": {
            "federated_optimizer": "FedAvg",
            "client_id_list": str(list(range(1, clients + 1))),
            "client_num_in_total": clients,
            "client_num_per_round": clients,
            "comm_round": training.rounds,
            "epochs": training.epochs,
            "batch_size": training.batch_size,
            "client_optimizer": training.optimizer,
            "learning_rate": training.learning_rate,
            "weight_decay": training.weight_decay,
        },
        "validation_args": {"frequency_of_the_test": 1},
        "device_args": {
            "worker_num": clients,
            "using_gpu": any(node.gpu_mapping),
            "gpu_mapping_file": GPU_FILE,
            "gpu_mapping_key": GPU_KEY,
        },
        "comm_args": {"backend": "GRPC", "grpc_ipconfig_path": ADDRESS_FILE},
        "tracking_args": {
            # FedML logs to W&B from every process that has the switch on; the aggregator's run is the federation's.
            "enable_wandb": wandb.enabled and is_server,
            "wandb_only_server": True,
            "wandb_project": wandb.project,
            **({"wandb_entity": wandb.entity} if wandb.entity else {}),
            "run_name": run_id(federation),
            "sys_perf_profiling": False,
        },
    }


def _federate_args(federation: Federation, node: Node) -> dict[str, Any]:
    training, policy, wandb = federation.training, federation.policy, federation.tracking.wandb
    hub, *sites = nodes(federation)
    server_only = {
        "roster": [site.id for site in sites],
        "quorum": policy.quorum,
        "round_deadline_seconds": None if policy.round_deadline_seconds == "none" else policy.round_deadline_seconds,
        "selection": policy.selection.method,
        "fraction": policy.selection.fraction,
        "checkpoints_kept": policy.checkpoints_kept,
        "early_stopping": training.early_stopping.model_dump() if training.early_stopping else None,
    }
    return {
        "federation": federation.name,
        "node": node.id,
        "role": node.role,
        "tls_name_of_aggregator": hub.tls_name,
        **(server_only if node.role == "aggregator" else {}),
        "dataset": training.dataset.model_dump(),
        "model": training.model.model_dump(),
        "aggregation": training.aggregation.model_dump(),
        "optimizer": training.optimizer,
        "class_weights": training.class_weights,
        "weight_decay": training.weight_decay,
        "seed": training.seed,
        "message_limit_mib": policy.message_limit_mib,
        "compression": policy.compression,
        "wandb": wandb.model_dump(),
    }


def _addresses(federation: Federation, node: Node) -> str:
    hub = nodes(federation)[0]
    rows = ["eid,rank,grpc_server_ip,grpc_server_port", f"0,0,{hub.address},{federation.aggregator.port}"]
    if node.role == "client":
        # Port 0: a site never listens, it opens the one stream.
        rows.append(f"{_OWN_RANK},{_OWN_RANK},{node.address},0")
    return "\n".join(rows) + "\n"


def _gpu_hosts(federation: Federation, node: Node) -> dict[str, list[int]]:
    """Return host to processes per GPU.

    FedML counts the file's processes off by rank and wants as many as there are workers, plus the server; it then
    looks at its own one only. So the others stand here with one process each, whatever they have.
    """
    if node.role == "client":
        return {AGGREGATOR_ID: [1], node.id: list(node.gpu_mapping)}
    return {AGGREGATOR_ID: list(node.gpu_mapping)} | {site.id: [1] for site in federation.participants}

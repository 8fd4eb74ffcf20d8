"""FedML's own words in a federation: where the setting is here, or why there is none.

Source of what the switches do: fedml 0.9.6, ``core/dp``, ``core/fhe``, ``core/security`` and ``cross_silo``.
"""

from __future__ import annotations

_NO_PRIVACY = "Leave it out: it would give no protection and look as if it did."

#: Key to the reason why it is refused.
REFUSED = {
    "enable_dp": "FedML's local noise is the same at every client, unclipped and without an account of the budget; "
    "its other solutions do nothing in cross-silo.",
    "dp_solution_type": "FedML's differential privacy does nothing, or adds the same noise at every client.",
    "mechanism_type": "FedML's differential privacy does nothing, or adds the same noise at every client.",
    "enable_rdp_accountant": "FedML's accountant does not cover what its cross-silo clients do.",
    "enable_fhe": "FedML's encryption ends without an error and encrypts nothing; the clients train alone.",
    "enable_secagg": "FedML's secure aggregation takes its masks from the seed in this file: anybody can remove them.",
    "enable_lightsecagg": "FedML's LightSecAgg takes its masks from the seed in this file: anybody can remove them.",
    "enable_attack": "FedML attacks the training on purpose when this is on; it is for research on attacks.",
    "attack_type": "FedML attacks the training on purpose with this; it is for research on attacks.",
    "enable_defense": "several of FedML's defences (robust_learning_rate, weak_dp) do nothing in cross-silo.",
    "defense_type": "several of FedML's defences (robust_learning_rate, weak_dp) do nothing in cross-silo.",
    "enable_contribution": "FedML's assessment of contributions does not run in cross-silo.",
    "using_mlops": "it reports to FedML's own servers; a node has no way to the internet.",
    "enable_tracking": "it reports to FedML's own servers; a node has no way to the internet.",
}

#: FedML's key to the key of this file that it is written from.
HERE = {
    "comm_round": "training.rounds",
    "client_optimizer": "training.optimizer",
    "federated_optimizer": "training.aggregation",
    "random_seed": "training.seed",
    "frequency_of_the_test": "",
    "client_num_in_total": "",
    "client_num_per_round": "",
    "client_id_list": "",
    "worker_num": "",
    "using_gpu": "gpu_mapping",
    "gpu_mapping_file": "gpu_mapping",
    "gpu_mapping_key": "gpu_mapping",
    "grpc_ipconfig_path": "",
    "backend": "",
    "training_type": "",
    "scenario": "",
    "rank": "",
    "run_id": "name",
    "enable_wandb": "tracking.wandb.enabled",
    "wandb_project": "tracking.wandb.project",
    "wandb_entity": "tracking.wandb.entity",
    "common_args": "",
    "data_args": "training.dataset",
    "model_args": "training.model",
    "train_args": "training",
    "validation_args": "",
    "device_args": "gpu_mapping",
    "comm_args": "",
    "tracking_args": "tracking",
    "security_args": "security",
    "dp_args": "privacy",
}


def explain(key: str) -> tuple[str, str, str] | None:
    """Return (found, allowed, remedy) for a key that is FedML's and not this file's, or None if it is not FedML's."""
    if key in REFUSED:
        return f"is a switch of FedML and is refused: {REFUSED[key]}", "", _NO_PRIVACY
    if key in HERE:
        remedy = f"Use {HERE[key]}." if HERE[key] else "Leave it out: it follows from the federation."
        return "is a key of FedML's own file, which is written from this one.", "", remedy
    return None

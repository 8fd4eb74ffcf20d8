"""FedML's files of a node."""

from __future__ import annotations

import copy
import csv
import io
import json

import pytest
import yaml

from fl_app.config import read_config
from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.federation.run_config import run_files


def files(data, node_id):
    federation = Federation.model_validate(data)
    node = next(node for node in nodes(federation) if node.id == node_id)
    return run_files(federation, node)


def flattened(text):
    """All sections in one namespace, the later winning: as fedml 0.9.6's Arguments.set_attr_from_config does it."""
    flat = {}
    for section in yaml.safe_load(text).values():
        flat |= section
    return flat


def test_a_node_gets_fedmls_three_files(data):
    assert set(files(data, "hospital-a")) == {"fedml_config.yaml", "grpc_ipconfig.csv", "gpu_mapping.yaml"}


def test_a_site_knows_itself_and_the_aggregator_and_nobody_else(data):
    own = files(data, "hospital-a")
    for text in own.values():
        assert "hospital-b" not in text
        assert "10.20." not in text
    rows = list(csv.DictReader(io.StringIO(own["grpc_ipconfig.csv"])))
    assert [tuple(row.values()) for row in rows] == [("0", "0", "10.30.0.10", "8890"), ("1", "1", "10.10.0.10", "0")]


@pytest.mark.parametrize("change", ["remove the first", "remove the last", "add", "reorder", "change another"])
def test_what_happens_to_other_sites_changes_no_byte_of_a_sites_files(data, site, change):
    data["participants"] += [site(40)]
    before = files(data, "hospital-b")
    changed = copy.deepcopy(data)
    others = changed["participants"]
    if change == "remove the first":
        others.pop(0)
    elif change == "remove the last":
        others.pop()
    elif change == "add":
        others.insert(0, site(41))
    elif change == "reorder":
        others.reverse()
    else:
        others[0] |= {"instance_type": "p4d.24xlarge", "gpu_mapping": [0, 1], "cidr": "192.168.0.0/24"}
    assert files(changed, "hospital-b") == before
    assert files(changed, "aggregator") != files(data, "aggregator") or change == "change another"


def test_negative_control_what_concerns_the_site_does_change_its_files(data):
    before = files(data, "hospital-b")
    for key, value in (("rounds", 51), ("seed", 1)):
        data["training"][key] = value
        assert files(data, "hospital-b")["fedml_config.yaml"] != before["fedml_config.yaml"]
    data["participants"][1]["cidr"] = "10.21.0.0/16"
    assert files(data, "hospital-b")["grpc_ipconfig.csv"] != before["grpc_ipconfig.csv"]


def test_the_hub_has_the_roster_in_the_order_of_the_file(data, site):
    data["participants"].insert(0, site(40))
    own = yaml.safe_load(files(data, "aggregator")["fedml_config.yaml"])["federate_args"]
    assert own["roster"] == ["site-40", "hospital-a", "hospital-b"]
    assert own["quorum"] is None
    assert own["role"] == "aggregator"


def test_a_site_has_no_roster_and_no_quorum(data):
    own = yaml.safe_load(files(data, "hospital-a")["fedml_config.yaml"])["federate_args"]
    assert not {"roster", "quorum", "round_deadline_seconds"} & set(own)
    assert own["tls_name_of_aggregator"] == "aggregator.eicu.federate"


@pytest.mark.parametrize(
    ("node", "rank", "role", "clients"), [("aggregator", 0, "server", 2), ("hospital-b", 1, "client", 1)]
)
def test_flattened_as_fedml_does_it_the_words_mean_what_fedml_means(data, node, rank, role, clients):
    data["training"] |= {"rounds": 50, "epochs": 2, "batch_size": 64, "learning_rate": 0.003}
    args = flattened(files(data, node)["fedml_config.yaml"])
    assert (args["rank"], args["role"]) == (rank, role)
    assert args["client_num_in_total"] == args["client_num_per_round"] == args["worker_num"] == clients
    assert json.loads(args["client_id_list"]) == list(range(1, clients + 1))
    assert (args["dataset"], args["model"]) == ("eicu", "logistic_regression")
    assert (args["training_type"], args["scenario"], args["backend"]) == ("cross_silo", "horizontal", "GRPC")
    assert (args["comm_round"], args["epochs"], args["batch_size"], args["learning_rate"]) == (50, 2, 64, 0.003)
    assert args["using_mlops"] is False
    assert args["run_id"] == "eicu"


@pytest.mark.parametrize(("node", "workers"), [("aggregator", 2), ("hospital-a", 1)])
def test_the_gpu_mapping_has_a_process_for_each_worker_and_the_server_as_fedml_counts_them(data, node, workers):
    """Fedml 0.9.6, device/gpu_mapping_cross_silo.py: as many processes as workers and the server, numbered by rank."""
    data["aggregator"] |= {"instance_type": "g5.12xlarge", "gpu_mapping": [0, 0, 1]}
    data["participants"][0] |= {"instance_type": "g5.12xlarge", "gpu_mapping": [0, 1]}
    hosts = yaml.safe_load(files(data, node)["gpu_mapping.yaml"])["mapping_default"]
    processes = [
        (host, gpu) for host, counts in hosts.items() for gpu, count in enumerate(counts) for _ in range(count)
    ]
    assert len(processes) == workers + 1
    assert processes[0 if node == "aggregator" else 1] == (node, 2 if node == "aggregator" else 1)


def test_a_node_without_a_gpu_trains_on_the_cpu(data):
    data["participants"][0]["instance_type"] = "m6i.large"
    own = files(data, "hospital-a")
    assert flattened(own["fedml_config.yaml"])["using_gpu"] is False
    assert yaml.safe_load(own["gpu_mapping.yaml"])["mapping_default"]["hospital-a"] == []


def test_options_of_plugins_arrive_as_they_are(data):
    options = {"hidden": [64, 32], "dropout": 0.1, "note": "äöü: 'x'", "deep": {"on": True, "off": None}}
    data["training"]["model"] = {"name": "mlp", "options": options}
    own = yaml.safe_load(files(data, "hospital-a")["fedml_config.yaml"])["federate_args"]
    assert own["model"] == {"name": "mlp", "options": options}


def test_small_numbers_stay_numbers(data):
    data["training"] |= {"learning_rate": 1e-05, "weight_decay": 1e-07}
    args = flattened(files(data, "hospital-a")["fedml_config.yaml"])
    assert (args["learning_rate"], args["weight_decay"]) == (1e-05, 1e-07)


def test_wandb_is_named_in_fedmls_words_and_never_with_a_key(data):
    data["tracking"] = {"wandb": {"enabled": True, "project": "p", "entity": "team"}}
    args = flattened(files(data, "aggregator")["fedml_config.yaml"])
    assert (args["enable_wandb"], args["wandb_project"], args["wandb_entity"]) == (True, "p", "team")
    assert "wandb_key" not in args
    assert flattened(files(data, "hospital-a")["fedml_config.yaml"])["enable_wandb"] is False


@pytest.mark.parametrize("node", ["aggregator", "hospital-a"])
def test_the_application_reads_what_is_written_for_it(data, tmp_path, node):
    data["policy"] = {"quorum": 1, "round_deadline_seconds": 90, "message_limit_mib": 8}
    data["participants"][0] |= {"instance_type": "g5.12xlarge", "gpu_mapping": [0, 1]}
    for name, text in files(data, node).items():
        (tmp_path / name).write_text(text, "utf-8")
    config = read_config(tmp_path)
    assert (config.federation, config.node) == ("eicu", node)
    assert str(config.aggregator) == "10.30.0.10:8890"
    assert config.message_limit == 8 * 2**20
    if node == "aggregator":
        assert (config.role, config.roster, config.gpu_processes) == ("aggregator", ("hospital-a", "hospital-b"), (1,))
        assert (config.policy.quorum, config.policy.deadline_seconds) == (1, 90)
    else:
        assert (config.role, config.roster, config.gpu_processes) == ("client", (), (0, 1))

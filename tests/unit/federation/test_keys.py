"""Keys that are not known: a misspelling, a key of another place, FedML's own, or a secret."""

from __future__ import annotations

import pytest
import yaml

from infra.federation import fedml_words


def test_a_misspelt_key_is_met_with_the_nearest_one(problems, data):
    data["training"]["batchsize"] = 3
    problem = problems(data)["training.batchsize"]
    assert problem.found == "is not a known key."
    assert "rounds, epochs, batch_size" in problem.allowed
    assert problem.remedy == "Did you mean batch_size?"


def test_a_key_of_another_section_is_sent_there(problems, data):
    data["rounds"] = 3
    assert problems(data)["rounds"].remedy == "It belongs at training.rounds."


@pytest.mark.parametrize("key", sorted(fedml_words.REFUSED))
def test_fedmls_switches_that_do_nothing_or_harm_are_refused_with_the_reason(problems, data, key):
    data["training"][key] = True
    problem = problems(data)[f"training.{key}"]
    assert fedml_words.REFUSED[key] in problem.found


def test_fedmls_switches_cannot_come_in_through_a_plugins_options(problems, data):
    data["training"]["model"] = {"name": "logistic_regression", "options": {"deep": [{"enable_fhe": True}]}}
    assert "encrypts nothing" in problems(data)["training.model.options.deep[0].enable_fhe"].found


def test_a_switch_that_is_harmless_may_stand_in_a_plugins_options(problems, data):
    data["training"]["model"] = {"name": "logistic_regression", "options": {"enable_bias": True}}
    assert problems(data) == {}


def test_who_writes_fedmls_words_is_told_the_words_here(problems, data):
    data["training"]["comm_round"] = 3
    data["training"]["client_num_in_total"] = 2
    found = problems(data)
    assert found["training.comm_round"].remedy == "Use training.rounds."
    assert found["training.client_num_in_total"].remedy == "Leave it out: it follows from the federation."


_WANDB_KEY = "0123456789abcdef0123456789abcdef01234567"
_AWS_KEY = "AKIA" + "ABCDEFGHIJKLMNOP"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tracking", "wandb", "api_key"), _WANDB_KEY),
        (("tracking", "wandb", "entity"), _WANDB_KEY),
        (("tracking", "wandb_key"), "local-" + _WANDB_KEY),
        (("aggregator", "profile"), _AWS_KEY),
        (("aggregator", "aws_secret_access_key"), "abc/def"),
        (("aggregator", "password"), "hunter2hunter2"),
        (("tags", "note"), "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----"),
        (("training", "model"), {"name": "logistic_regression", "options": {"hub": {"token": "s3cr3t-t0k3n"}}}),
    ],
)
def test_a_secret_is_refused_and_not_repeated(problems, data, path, value):
    holder = data
    for part in path[:-1]:
        if not isinstance(holder.get(part), dict):
            holder[part] = {}
        holder = holder[part]
    holder[path[-1]] = value
    (problem,) = problems(data).values()
    assert problem.found == "is a secret."
    assert "WANDB_API_KEY" in problem.remedy
    for secret in (_WANDB_KEY, _AWS_KEY, "abc/def", "hunter2", "MHcC", "s3cr3t"):
        assert secret not in str(problem)


def test_a_secret_in_a_comment_is_refused_on_its_line(problems, data):
    text = yaml.safe_dump(data) + f"# was: {_AWS_KEY}\n"
    (problem,) = problems(text).values()
    assert problem.where.endswith(f":{len(text.splitlines())}")
    assert problem.found == "a secret in a comment."
    assert _AWS_KEY not in str(problem)


def test_negative_control_a_commit_in_a_tag_and_a_key_in_options_are_no_secrets(problems, data):
    data["tags"] = {"commit": _WANDB_KEY, "key": "value"}
    data["training"]["model"] = {"name": "logistic_regression", "options": {"pad_token": "[PAD]", "sort_key": "hour"}}
    assert problems(data) == {}

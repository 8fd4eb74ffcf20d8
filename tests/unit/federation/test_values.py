"""Single values: what is said when something else stands there than what may."""

from __future__ import annotations

import re
from ipaddress import IPv4Network

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from infra.federation.cidr import PRIVATE
from infra.federation.load import load
from infra.federation.values import Cidr


def _replace(text_of_account, data):
    text = yaml.safe_dump(data, sort_keys=False)
    return re.sub(r"account: .333333333333.", f"account: {text_of_account}", text)


@pytest.mark.parametrize(
    ("written", "found", "remedy"),
    [
        # 012345670123 in base 8 is 1402433619.
        ("012345670123", "YAML reads it as an octal number, 1402433619", 'Write account: "012345670123".'),
        ("123456789012", "YAML reads it as a number", 'Write account: "123456789012".'),
        ('"12345678901"', "has 11 digits", ""),
        ('"1234-5678-9012"', "is no account id", 'Write account: "123456789012".'),
        ("my-account", "is no account id", ""),
        ("", "is empty", ""),
        ("[1]", "is a list", ""),
        ("yes", "YAML reads as true", ""),
    ],
)
def test_an_account_id_is_twelve_digits_in_quotes(problems, data, written, found, remedy):
    problem = problems(_replace(written, data))["aggregator.account"]
    assert found in problem.found
    assert problem.remedy == remedy
    assert "12 digits" in problem.allowed


def test_an_account_id_that_yaml_reads_as_text_by_luck_is_warned_of(tmp_path, data):
    file = tmp_path / "federation.yaml"
    file.write_text(_replace("012345678901", data))
    (warning,) = load(file).notices
    assert warning.severity == "warning"
    assert warning.remedy == 'Write account: "012345678901".'


@pytest.mark.parametrize(
    ("cidr", "found"),
    [
        ("10.10.0.0", "is not a range"),
        ("10.10.0/16", "is not an IPv4 range"),
        ("10.10.0.0/33", "is not an IPv4 range"),
        ("fd00::/16", "is not an IPv4 range"),
        ("ten", "is not a range"),
        ("10.10.1.0/16", "has host bits set: a /16 begins at 10.10.0.0"),
        ("8.8.0.0/16", "is not private"),
        ("100.64.0.0/16", "is not private"),
        ("172.32.0.0/16", "is not private"),
        ("192.168.0.0/15", "is not private"),
        ("10.0.0.0/15", "is too large"),
        ("10.0.0.0/27", "is too small: /27 has 32 addresses"),
    ],
)
def test_a_range_is_private_well_formed_and_of_a_size_that_aws_and_a_node_need(problems, data, cidr, found):
    data["aggregator"]["cidr"] = cidr
    assert found in problems(data)["aggregator.cidr"].found


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "10.255.255.192/26", "172.16.0.0/16", "192.168.0.0/16"])
def test_private_ranges_from_16_to_26_are_taken(problems, data, cidr):
    data["aggregator"]["cidr"] = cidr
    assert problems(data) == {}


@given(network=st.ip_addresses(v=4).map(str), prefix=st.integers(0, 32))
def test_what_is_taken_as_a_range_is_private(network, prefix):
    try:
        taken = TypeAdapter(Cidr).validate_python(f"{network}/{prefix}")
    except ValidationError:
        return
    assert taken == IPv4Network(f"{network}/{prefix}")
    assert any(taken.subnet_of(block) for block in PRIVATE)
    assert 16 <= taken.prefixlen <= 26


@pytest.mark.parametrize(
    ("place", "key", "value", "found", "allowed"),
    [
        ("training", "rounds", "50", "50 (text).", "A whole number, without quotes."),
        ("training", "rounds", 1.5, "1.5 (a number).", "A whole number, without quotes."),
        ("training", "rounds", True, "true.", "A whole number, without quotes."),
        ("training", "rounds", None, "is empty.", "A whole number, without quotes."),
        ("training", "rounds", 0, "0 is too small.", "More than 0."),
        ("training", "seed", 2**32, "4294967296 is too large.", "At least 0 and less than 4294967296."),
        ("training", "learning_rate", "fast", "fast (text).", "A number."),
        ("training", "learning_rate", True, "true is not a number.", "A number."),
        ("training", "learning_rate", float("nan"), ".nan (a number).", "A finite number."),
        ("training", "optimizer", "adamm", "adamm (text).", "One of sgd, adam, adamw."),
        ("training", "model", ["a"], "is a list.", "A section: indented lines of key: value."),
        ("aggregator", "spot", "no", "no (text).", "true or false, without quotes."),
        ("aggregator", "port", 80, "80 is too small.", "At least 1024 and at most 65535."),
        ("aggregator", "region", "us-east", "us-east is not a Region.", None),
        ("aggregator", "image", "ami-123", "ami-123 is not a machine image id.", None),
        ("aggregator", "profile", False, "false.", "Text."),
        ("aggregator", "gpu_mapping", 1, "1 (a number).", "A list: [ … ], or lines that begin with a hyphen."),
        ("aggregator", "availability_zone", "zone-a", "zone-a is not an availability zone.", None),
    ],
)
def test_a_wrong_value_is_named_with_what_may_stand_there(problems, data, place, key, value, found, allowed):
    data[place][key] = value
    problem = problems(data)[f"{place}.{key}"]
    assert problem.found == found
    assert allowed is None or problem.allowed == allowed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Hospital A", "For example: hospital-a."),
        ("hospital_a", "For example: hospital-a."),
        ("3com", "is not a name"),
        ("a--b", "For example: a-b."),
        ("a" * 21, "has 21 characters"),
    ],
)
def test_a_name_is_short_and_fit_for_aws_and_certificates(problems, data, name, words):
    data["participants"][0]["id"] = name
    assert words in str(problems(data)["participants[0].id"])


def test_what_is_missing_is_described_with_an_example(problems, data):
    del data["participants"][0]["account"], data["region"]
    found = problems(data)
    assert found["participants[0].account"].remedy == 'For example: account: "111111111111"'
    assert found["region"].remedy == "For example: region: us-east-1"


def test_no_participants_at_all_is_one_problem(problems, data):
    data["participants"] = []
    assert {place: problem.found for place, problem in problems(data).items()} == {
        "participants": "is a list with nothing in it."
    }


def test_a_word_that_yaml_reads_as_false_is_shown_as_it_is_written(problems, data):
    text = yaml.safe_dump(data).replace("profile: aggregator", "profile: no")
    assert problems(text)["aggregator.profile"].found == "no, which YAML reads as false."


def test_a_small_learning_rate_may_be_written_as_everybody_does(problems, data):
    """YAML 1.1 reads 1e-3 as text, because it has no point."""
    data["training"]["learning_rate"] = "LR"
    text = yaml.safe_dump(data)
    assert "learning_rate" in str(problems(text))
    assert problems(text.replace("LR", "1e-3")) == {}


def test_tags_keep_to_what_aws_takes(problems, data):
    data["tags"] = {"aws:mine": "x", "": "y", "long": "z" * 257, "number": 5}
    found = problems(data)
    assert "begins with aws:" in found["tags.aws:mine"].found
    assert found["tags.long"].allowed == "Shorter text: AWS takes no more."
    assert found["tags.number"].remedy == 'Put it in quotes: "…".'
    assert "tags." in found

"""A node as its account shows it: all pages of it, in order, and only its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from infra.errors import FederateError
from infra.federation.model import Federation
from infra.nodes.remote import Remote, UnknownNode, forget_all, remotes


@pytest.fixture
def site(by_id: Mapping[str, Remote]) -> Remote:
    return by_id["hospital-a"]


def test_parameters_of_all_pages_are_read_and_no_other_nodes(site: Remote, accounts: Any) -> None:
    for number in range(25):
        site.put(f"name-{number}", f"{number}")
    accounts.client("ssm", profile="hospital-a").put_parameter(
        Name=f"{site.node.parameter_prefix}b/state", Value="another's", Type="String"
    )
    assert site.parameters() == {f"name-{number}": f"{number}" for number in range(25)}


def test_a_value_that_aws_would_refuse_is_told_with_the_parameter(site: Remote) -> None:
    site.put("certificate", "x" * 4096)
    with pytest.raises(FederateError, match="the parameter certificate would have more than 4096 bytes"):
        site.put("certificate", "ä" * 2049)


def test_a_node_that_is_gone_is_forgotten_whole_and_nobody_else(by_id: Mapping[str, Remote]) -> None:
    for remote in by_id.values():
        for number in range(12):
            remote.put(f"name-{number}", "x")
    forget_all([by_id["hospital-a"], by_id["aggregator"]], quiet_seconds=0.05)
    assert {id_: len(remote.parameters()) for id_, remote in by_id.items()} == {
        "aggregator": 0,
        "hospital-a": 0,
        "hospital-b": 12,
    }


def test_log_lines_of_one_moment_stay_in_their_order(site: Remote) -> None:
    logs = site.client("logs")
    logs.create_log_group(logGroupName=site.node.log_group)
    logs.create_log_stream(logGroupName=site.node.log_group, logStreamName="hospital-a/agent")
    begin = int(time.time() * 1000) - 1000
    words = ["zebra", "ant", "zebra", "bee"]
    for at, lines in ((begin, words), (begin + 5, ["later"])):
        logs.put_log_events(
            logGroupName=site.node.log_group,
            logStreamName="hospital-a/agent",
            logEvents=[{"timestamp": at, "message": line} for line in lines],
        )
    found = list(site.log_lines())
    assert [line.text for line in found] == [*words, "later"]
    assert {line.stream for line in found} == {"hospital-a/agent"}
    assert len({line.id for line in found}) == 5
    assert [line.text for line in site.log_lines(begin + 1)] == ["later"]


def test_a_node_without_a_log_has_no_lines(site: Remote) -> None:
    assert list(site.log_lines()) == []


def test_nodes_are_chosen_by_id_and_come_in_the_order_of_the_file(fed: Federation, accounts: Any) -> None:
    assert [remote.node.id for remote in remotes(fed, accounts)] == ["aggregator", "hospital-a", "hospital-b"]
    chosen = remotes(fed, accounts, ["hospital-b", "aggregator"])
    assert [remote.node.id for remote in chosen] == ["aggregator", "hospital-b"]
    with pytest.raises(UnknownNode, match=r"no node 'hospital-c'\.\n  There are aggregator, hospital-a, hospital-b"):
        remotes(fed, accounts, ["hospital-c"])

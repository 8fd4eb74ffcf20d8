"""A check that may not ask, or gets no answer, is a warning that says so: never silence, never success."""

from __future__ import annotations

import pytest
from small_visit import federation, stack
from stubbed_aws import FailingAccounts, refused, unreachable

from infra.errors import Severity
from infra.federation.derive import nodes
from infra.preflight import CHECKS, Desk, exit_code, run, visits
from infra.preflight.check import Check, Visit
from infra.preflight.run import _ask

KEY = "arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"
ENDPOINT = {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Interface"}}


def everything(error: object) -> Visit:
    """Return a visit to which every check applies."""
    words = {"spot": True, "kms_key": KEY, "internet": "nat", "bucket": "data-of-the-hub"}
    fed = federation(hub=words, synthesizer="default")
    return Visit(fed, (nodes(fed)[0],), FailingAccounts(error), (stack("HubNode"),), (ENDPOINT,))


def test_the_visit_is_one_to_which_every_check_applies() -> None:
    assert [check.id for check in CHECKS if not check.applies(everything(refused))] == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_that_may_not_ask_is_a_warning_that_names_the_permissions(check: Check) -> None:
    answer = _ask(check, everything(refused))
    assert answer.state == "warning"
    (problem,) = answer.problems
    assert problem.found.startswith(f"not checked: {check.asks}")
    assert all(permission in problem.allowed for permission in check.permissions)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_that_gets_no_answer_is_a_warning_that_says_why(check: Check) -> None:
    (problem,) = _ask(check, everything(unreachable)).problems
    assert problem.severity is Severity.WARNING
    assert "Could not connect" in problem.found


def test_where_the_credentials_fail_nothing_else_is_asked_and_that_is_said() -> None:
    fed = federation()
    answers = run(visits(fed, nodes(fed), FailingAccounts(refused)), Desk(fed, None), local_checks=())
    states = {answer.check: answer.state for answer in answers if answer.place == "hospital-a"}
    assert states.pop("credentials") == "error"
    assert set(states.values()) == {"not asked"}
    assert exit_code(answers) == 3


def test_an_aws_that_does_not_answer_has_an_exit_code_of_its_own() -> None:
    fed = federation()
    answers = run(visits(fed, nodes(fed), FailingAccounts(unreachable)), Desk(fed, None), local_checks=())
    assert exit_code(answers) == 4

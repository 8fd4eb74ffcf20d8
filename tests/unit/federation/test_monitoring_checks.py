"""Alarms that would never be off, or never reach anybody, are found in the file."""

from __future__ import annotations

import pytest

from infra.errors import Severity

TOPIC = "arn:aws:sns:us-east-1:111111111111:on-call"


def test_a_topic_of_the_account_and_its_region_is_good(problems, notices, data):
    data["participants"][0]["alarm_topic"] = TOPIC
    data["participants"][1]["alarm_email"] = "it-operations@hospital-b.example"
    assert problems(data) == notices(data) == {}


def test_a_topic_of_another_account_would_carry_what_is_measured_out_of_this_one(problems, data):
    data["participants"][0]["alarm_topic"] = TOPIC.replace("111111111111", "333333333333")
    problem = problems(data)["participants[0].alarm_topic"]
    assert "account 333333333333" in problem.found
    assert "stays there" in problem.allowed


def test_a_topic_in_another_region_is_never_told(problems, data):
    data["participants"][0]["alarm_topic"] = TOPIC.replace("us-east-1", "eu-central-1")
    assert "eu-central-1" in problems(data)["participants[0].alarm_topic"].found


def test_a_mail_address_is_for_the_topic_that_is_made(problems, data):
    data["participants"][0] |= {"alarm_topic": TOPIC, "alarm_email": "ops@hospital-a.example"}
    assert "Subscribe" in problems(data)["participants[0].alarm_email"].remedy


@pytest.mark.parametrize("value", ["on-call", "arn:aws:sqs:us-east-1:111111111111:q", f"{TOPIC}.fifo", f"{TOPIC}:1"])
def test_what_is_no_topic_is_refused(problems, data, value):
    data["aggregator"]["alarm_topic"] = value
    assert "is not a topic" in problems(data)["aggregator.alarm_topic"].found


@pytest.mark.parametrize("value", ["ops", "ops@", "ops@hospital", "a@b.example, c@d.example", "a b@c.example"])
def test_what_is_no_mail_address_is_refused(problems, data, value):
    data["aggregator"]["alarm_email"] = value
    assert "is not a mail address" in problems(data)["aggregator.alarm_email"].found


def test_a_warning_that_is_longer_than_the_certificates_life_is_refused(problems, data):
    data["monitoring"] = {"certificate_days": 90}
    assert "never be off" in problems(data)["monitoring.certificate_days"].found
    data["monitoring"] = {"certificate_days": 89}
    assert problems(data) == {}


def test_a_round_that_may_take_longer_than_the_alarm_waits_is_warned_of(notices, data):
    data["policy"] = {"round_deadline_seconds": 3600}
    assert notices(data)["monitoring.stalled_minutes"].severity is Severity.WARNING
    data["policy"] = {"round_deadline_seconds": 3599}
    assert "monitoring.stalled_minutes" not in notices(data)


def test_whom_to_tell_means_nothing_where_monitoring_is_off(problems, notices, data):
    data["monitoring"] = False
    data["participants"][0]["alarm_topic"] = TOPIC
    assert problems(data) == {}
    assert "monitoring is off" in notices(data)["participants[0].alarm_topic"].found


@pytest.mark.parametrize("key", ["stalled_minutes", "disk_percent", "certificate_days"])
@pytest.mark.parametrize("value", [0, -1, True, "ten", 100_000])
def test_a_threshold_is_a_whole_number_that_makes_sense(problems, data, key, value):
    data["monitoring"] = {key: value}
    assert list(problems(data)) == [f"monitoring.{key}"]

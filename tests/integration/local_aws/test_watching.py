"""CloudWatch and SNS on loopback: made, changed and gone by stacks; logs become metrics, metrics become states."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from moto.sns.models import sns_backends
from stack_templates import template

from infra.local.aws.additions import alarms_api

LATE = 600  # seconds into the future: far from what was told in between


def alarm(threshold: float = 10, missing: str = "notBreaching", **more: Any) -> dict[str, Any]:
    properties = {
        "AlarmName": "hot",
        "Namespace": "Own",
        "MetricName": "Heat",
        "Dimensions": [{"Name": "place", "Value": "here"}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": missing,
        "AlarmActions": [{"Ref": "Topic"}],
        "OKActions": [{"Ref": "Topic"}],
        **more,
    }
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}


def policy(account: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": {"Ref": "Topic"},
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    properties = {"Topics": [{"Ref": "Topic"}], "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    return {"Type": "AWS::SNS::TopicPolicy", "Properties": properties}


def watch(account: str, *, admitted: str = "", name: str = "told", **of_alarm: Any) -> dict[str, Any]:
    mail = {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": "ops@hospital-a.example"}
    return template(
        {"Topic": {"Value": {"Ref": "Topic"}}, "Alarm": {"Value": {"Fn::GetAtt": ["Alarm", "Arn"]}}},
        Topic={"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "told", "DisplayName": name}},
        Policy=policy(admitted or account),
        Mail={"Type": "AWS::SNS::Subscription", "Properties": mail},
        Alarm=alarm(**of_alarm),
        Board={
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"DashboardName": "board", "DashboardBody": json.dumps({"widgets": [], "start": name})},
        },
    )


def tell(account: Any, heat: float, *, ago: float = 0) -> None:
    """Write a line of embedded metrics into a log, as a node does."""
    logs = account.client("logs")
    if not logs.describe_log_groups(logGroupNamePrefix="own")["logGroups"]:
        logs.create_log_group(logGroupName="own")
        logs.create_log_stream(logGroupName="own", logStreamName="metrics")
    at = int((time.time() - ago) * 1000)
    directive = {"Namespace": "Own", "Dimensions": [["place"]], "Metrics": [{"Name": "Heat", "Unit": "Percent"}]}
    told = {"_aws": {"Timestamp": at, "CloudWatchMetrics": [directive]}, "place": "here", "Heat": heat}
    event = {"timestamp": int(time.time() * 1000), "message": json.dumps(told)}
    logs.put_log_events(logGroupName="own", logStreamName="metrics", logEvents=[event])


def state(account: Any) -> str:
    (found,) = account.client("cloudwatch").describe_alarms(AlarmNames=["hot"])["MetricAlarms"]
    return str(found["StateValue"])


def told(account: Any) -> list[str]:
    """Return what the topic was told: the new state of each message."""
    topic = sns_backends[account.id]["us-east-1"].topics[account.outputs("s")["Topic"]]
    return [json.loads(message)["NewStateValue"] for _, message, *_ in topic.sent_notifications]


def test_topic_alarm_and_dashboard_are_made_changed_in_place_and_gone(account: Any) -> None:
    cloudwatch, sns = account.client("cloudwatch"), account.client("sns")
    assert account.create("s", watch(account.id)) == "CREATE_COMPLETE"
    arn = account.outputs("s")["Topic"]
    assert arn == f"arn:aws:sns:us-east-1:{account.id}:told"
    assert account.outputs("s")["Alarm"] == f"arn:aws:cloudwatch:us-east-1:{account.id}:alarm:hot"
    (mail,) = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "ops@hospital-a.example")
    changed = watch(account.id, admitted="999999999999", name="other", threshold=20, AlarmDescription="hotter")
    assert account.update("s", changed) == "UPDATE_COMPLETE"
    (found,) = cloudwatch.describe_alarms(AlarmNames=["hot"])["MetricAlarms"]
    assert (found["Threshold"], found["AlarmDescription"], found["AlarmActions"]) == (20, "hotter", [arn])
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert attributes["DisplayName"] == "other"
    assert "999999999999" in attributes["Policy"]
    body = json.loads(cloudwatch.get_dashboard(DashboardName="board")["DashboardBody"])
    assert body["start"] == "other"
    assert account.delete("s") == "DELETE_COMPLETE"
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []
    assert cloudwatch.list_dashboards()["DashboardEntries"] == []
    assert sns.list_topics()["Topics"] == sns.list_subscriptions()["Subscriptions"] == []


def test_an_alarm_and_a_topic_of_another_stack_keep_their_names(account: Any) -> None:
    assert account.create("s", watch(account.id)) == "CREATE_COMPLETE"
    second = watch(account.id)
    assert account.create("t", second) == "ROLLBACK_COMPLETE"
    assert "already exists" in account.reason("t", "Topic", "CREATE_FAILED")
    assert account.outputs("s")["Topic"] in [t["TopicArn"] for t in account.client("sns").list_topics()["Topics"]]


def test_a_dashboard_that_is_no_json_is_refused(account: Any) -> None:
    board = {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": "{"}}
    assert account.create("s", template(Board=board)) == "ROLLBACK_COMPLETE"
    assert "valid JSON" in account.reason("s", "Board", "CREATE_FAILED")


def test_lines_of_a_log_are_metrics_that_can_be_read_back(account: Any) -> None:
    tell(account, 7)
    tell(account, 9)
    now = time.time()
    found = account.client("cloudwatch").get_metric_statistics(
        Namespace="Own",
        MetricName="Heat",
        Dimensions=[{"Name": "place", "Value": "here"}],
        StartTime=now - 60,
        EndTime=now + 60,
        Period=300,
        Statistics=["Maximum", "SampleCount"],
    )["Datapoints"]
    assert [(point["Maximum"], point["SampleCount"]) for point in found] == [(9, 2)]


def test_an_alarm_follows_its_metric_and_tells_its_topic_once_a_change(account: Any) -> None:
    account.create("s", watch(account.id))
    assert state(account) == "OK"  # no value yet, which this alarm takes for a good one
    tell(account, 15)
    assert [state(account), state(account)] == ["ALARM", "ALARM"]
    assert told(account) == ["OK", "ALARM"]
    with_now = alarms_api.cloudwatch_backends[account.id]["us-east-1"]
    alarms_api.evaluate(with_now, time.time() + LATE)
    assert told(account) == ["OK", "ALARM", "OK"]


def test_a_new_alarm_waits_for_its_first_values(account: Any) -> None:
    account.create(
        "s", watch(account.id, missing="breaching", WarmUpConfiguration={"WarmUpPeriodDurationInMinutes": 5})
    )
    assert state(account) == "INSUFFICIENT_DATA"
    assert told(account) == []
    alarms_api.evaluate(alarms_api.cloudwatch_backends[account.id]["us-east-1"], time.time() + LATE)
    assert told(account) == ["ALARM"]


@pytest.mark.parametrize(("admitted", "expected"), [("", ["OK"]), ("999999999999", [])])
def test_a_topic_whose_policy_admits_another_account_alone_is_not_told(
    account: Any, admitted: str, expected: list[str]
) -> None:
    account.create("s", watch(account.id, admitted=admitted))
    assert state(account) == "OK"
    assert told(account) == expected

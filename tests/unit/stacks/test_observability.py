"""Each account's alarms and dashboard watch what its node really tells, and only CloudWatch may use its topic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeAccount, facts

from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.local.aws.additions.alarms_api import may_publish
from infra.local.aws.additions.embedded_metrics import extracted
from node_bootstrap import measures
from node_bootstrap.agent import readings
from node_bootstrap.agent.metrics import Meter
from stacks.alarms import alarms

STORAGE = {"aggregator": "HubStorage", "hospital-a": "SiteStorage-hospital-a", "hospital-b": "SiteStorage-hospital-b"}
NODE = {"aggregator": "HubNode", "hospital-a": "SiteNode-hospital-a", "hospital-b": "SiteNode-hospital-b"}
#: The conditions that a hospital's cloud team asks for, and the alarm that answers each.
CONDITIONS = {
    "no round for a while": "stalled",
    "the node is silent": "unreachable",
    "the instance is impaired": "instance",
    "the root volume is full": "root-disk",
    "the state volume is full": "state-disk",
    "the node did not come up": "bootstrap",
    "the node has failed": "failed",
    "the certificate expires": "certificate",
}
Key = tuple[str, str, tuple[tuple[str, str], ...]]


def _alarms(assembly: Any, of_type: Any, node: str) -> dict[str, dict[str, Any]]:
    found = [
        alarm
        for stack in (STORAGE[node], NODE[node])
        for alarm in of_type(assembly.templates[stack], "AWS::CloudWatch::Alarm").values()
    ]
    return {alarm["AlarmName"].removeprefix(f"federate-eicu-{node}-"): alarm for alarm in found}


def _key(alarm: dict[str, Any]) -> Key:
    dimensions = tuple(sorted((d["Name"], d["Value"]) for d in alarm["Dimensions"]))
    return alarm["Namespace"], alarm["MetricName"], dimensions


@pytest.fixture
def really_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[Key]:
    """What CloudWatch makes of the lines of hospital-a's own meter, on a machine with a GPU, in the middle of a run."""
    monkeypatch.setattr(readings, "_nvidia_smi", lambda: "50, 1, 2\n")
    monkeypatch.setattr(readings.Processors, "used", lambda _: {measures.CPU: 5.0})  # in no time, nothing is used
    monkeypatch.setattr(readings, "days_left", lambda measure, *_: {measure: 30.0})
    (tmp_path / "output").mkdir()
    account, standing = FakeAccount(), {"state": "running", "run": "r", "progress": {"round": 1}}
    who = facts(federation="eicu", node="hospital-a")
    meter = Meter(who, account, lambda: standing, tmp_path, tmp_path, clock=iter(range(0, 6000, 60)).__next__)
    for name, record in (
        ("output/rounds.jsonl", {"round": 1, "seconds": 2, "answered": ["x"], "test_loss": 0.5, "auroc": 0.7}),
        ("audit.jsonl", {"direction": "sent", "bytes": 1}),
    ):
        (tmp_path / name).write_text(json.dumps(record) + "\n")
    for _ in range(3):
        meter.step()
    return {
        (datum.namespace, datum.name, tuple(sorted(datum.dimensions.items())))
        for line in account.lines["hospital-a/metrics"]
        for datum in extracted(line)
    }


@pytest.mark.parametrize("node", STORAGE)
def test_there_is_an_alarm_for_each_condition_in_each_account(example: Any, of_type: Any, node: str) -> None:
    assert set(_alarms(example, of_type, node)) == set(CONDITIONS.values())


def test_alarms_watch_metrics_that_the_node_really_tells(example: Any, of_type: Any, really_told: set[Key]) -> None:
    for name, alarm in _alarms(example, of_type, "hospital-a").items():
        if name == "instance":
            assert alarm["Namespace"] == "AWS/EC2"
            assert alarm["Dimensions"] == [{"Name": "InstanceId", "Value": {"Ref": "Instance"}}]
        else:
            assert _key(alarm) in really_told, name
    wrong = {**_alarms(example, of_type, "hospital-a")["failed"], "MetricName": "Nodefailed"}
    assert _key(wrong) not in really_told  # the comparison would notice


def _dashboard(assembly: Any, of_type: Any, node: str) -> dict[str, Any]:
    (found,) = of_type(assembly.templates[STORAGE[node]], "AWS::CloudWatch::Dashboard").values()
    assert found["DashboardName"] == f"federate-eicu-{node}"
    body: dict[str, Any] = json.loads(found["DashboardBody"])
    return body


def test_the_dashboard_shows_every_metric_that_the_node_tells_and_no_other(
    example: Any, of_type: Any, really_told: set[Key]
) -> None:
    shown = set()
    for widget in _dashboard(example, of_type, "hospital-a")["widgets"][1:]:
        assert widget["properties"]["region"] == "us-east-1"
        for namespace, name, *rest in widget["properties"]["metrics"]:
            shown.add((namespace, name, tuple(sorted(zip(rest[::2], rest[1::2], strict=True)))))
    assert shown == really_told
    assert {name for _, name, _ in shown} == {measure.name for measure in measures.MEASURES}


def test_the_dashboard_begins_with_the_nodes_own_alarms_and_no_widget_covers_another(
    example: Any, of_type: Any
) -> None:
    first, *others = _dashboard(example, of_type, "hospital-a")["widgets"]
    own = {alarm["AlarmName"] for alarm in _alarms(example, of_type, "hospital-a").values()}
    assert {arn.rpartition(":alarm:")[2] for arn in first["properties"]["alarms"]} == own
    assert all(":111111111111:" in arn for arn in first["properties"]["alarms"])
    places = [
        (x, y)
        for widget in [first, *others]
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) == 23  # CloudWatch's grid is 24 wide


def test_silence_means_what_it_should_for_each_alarm(example: Any, of_type: Any) -> None:
    found = _alarms(example, of_type, "hospital-a")
    assert {name: alarm["TreatMissingData"] for name, alarm in found.items()} == {
        "stalled": "notBreaching",
        "instance": "notBreaching",
        "unreachable": "breaching",
        "failed": "ignore",
        "bootstrap": "ignore",
        "root-disk": "ignore",
        "state-disk": "ignore",
        "certificate": "ignore",
    }
    assert found["unreachable"]["WarmUpConfiguration"]["WarmUpPeriodDurationInMinutes"] == 15


def test_thresholds_are_the_federations(data: Any, synth: Any, of_type: Any, example: Any) -> None:
    assert _alarms(example, of_type, "hospital-a")["certificate"]["Threshold"] == 15  # a sixth of 90 days
    data["monitoring"] = {"stalled_minutes": 5, "disk_percent": 70, "certificate_days": 20}
    found = _alarms(synth(data), of_type, "aggregator")
    assert {name: found[name]["Threshold"] for name in ("stalled", "root-disk", "state-disk", "certificate")} == {
        "stalled": 300,
        "root-disk": 70,
        "state-disk": 70,
        "certificate": 20,
    }


@pytest.mark.parametrize("node", STORAGE)
def test_every_alarm_tells_the_accounts_own_topic_when_it_begins_and_when_it_ends(
    example: Any, of_type: Any, node: str
) -> None:
    account = {"aggregator": "333333333333", "hospital-a": "111111111111", "hospital-b": "222222222222"}[node]
    own = [f"arn:aws:sns:us-east-1:{account}:federate-eicu-{node}"]
    for alarm in _alarms(example, of_type, node).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == own
    (topic,) = of_type(example.templates[STORAGE[node]], "AWS::SNS::Topic").values()
    assert topic["TopicName"] == own[0].rpartition(":")[2]
    assert topic["KmsMasterKeyId"] == {"Fn::GetAtt": ["Key", "Arn"]}


def test_only_cloudwatch_may_publish_for_this_nodes_alarms_of_this_account_and_over_tls(
    example: Any, of_type: Any
) -> None:
    (found,) = of_type(example.templates["SiteStorage-hospital-a"], "AWS::SNS::TopicPolicy").values()
    policy = found["PolicyDocument"]
    topic = "arn:aws:sns:us-east-1:111111111111:federate-eicu-hospital-a"
    alarm = "arn:aws:cloudwatch:us-east-1:111111111111:alarm:federate-eicu-hospital-a-failed"
    assert may_publish(policy, topic, alarm, "111111111111")
    assert not may_publish(policy, topic, alarm, "222222222222")
    assert not may_publish(policy, topic, alarm.replace(":111111111111:", ":222222222222:"), "111111111111")
    assert not may_publish(policy, topic, alarm.replace("federate-eicu", "another"), "111111111111")
    assert not may_publish(policy, topic.replace("eicu", "other"), alarm, "111111111111")
    allowed, denied = policy["Statement"]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    for guard in ("ArnLike", "StringEquals"):  # without a condition, what was refused above is let through
        open_to_all = json.loads(json.dumps(policy))
        del open_to_all["Statement"][0]["Condition"][guard]
        other = alarm if guard == "StringEquals" else alarm.replace("federate-eicu", "another")
        account = "222222222222" if guard == "StringEquals" else "111111111111"
        assert may_publish(open_to_all, topic, other, account)


def test_a_topic_that_is_there_already_is_used_and_none_is_made(data: Any, synth: Any, of_type: Any) -> None:
    own = "arn:aws:sns:us-east-1:111111111111:on-call"
    data["participants"][0]["alarm_topic"] = own
    assembly = synth(data)
    for alarm in _alarms(assembly, of_type, "hospital-a").values():
        assert alarm["AlarmActions"] == [own]
    template = assembly.templates["SiteStorage-hospital-a"]
    assert of_type(template, "AWS::SNS::Topic") == of_type(template, "AWS::SNS::TopicPolicy") == {}
    assert of_type(assembly.templates["SiteStorage-hospital-b"], "AWS::SNS::Topic")


def test_who_wants_mail_gets_a_subscription_and_nobody_else(data: Any, synth: Any, of_type: Any, example: Any) -> None:
    assert not any(of_type(template, "AWS::SNS::Subscription") for template in example.templates.values())
    data["participants"][0]["alarm_email"] = "ops@hospital-a.example"
    templates = synth(data).templates
    (mail,) = of_type(templates["SiteStorage-hospital-a"], "AWS::SNS::Subscription").values()
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "ops@hospital-a.example")
    assert [name for name in templates if "ops@" in json.dumps(templates[name])] == ["SiteStorage-hospital-a"]


def test_without_monitoring_nothing_of_it_is_made(data: Any, synth: Any) -> None:
    data["monitoring"] = False
    for template in synth(data).templates.values():
        kinds = {resource["Type"].split("::")[1] for resource in template["Resources"].values()}
        assert not kinds & {"CloudWatch", "SNS"}


def test_the_key_lets_cloudwatch_encrypt_for_this_nodes_alarms_alone(example: Any) -> None:
    policy = example.templates["SiteStorage-hospital-a"]["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"]
    (statement,) = [one for one in policy if one["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
    assert set(statement["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert statement["Condition"] == {
        "ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:us-east-1:111111111111:alarm:federate-eicu-hospital-a-*"},
        "StringEquals": {"aws:SourceAccount": "111111111111"},
    }


def test_metrics_cost_no_endpoint_and_no_permission(example: Any) -> None:
    everything = b"".join(example.bytes.values())
    assert b"PutMetricData" not in everything
    assert b".monitoring" not in everything
    assert b"PutLogEvents" in everything


def test_every_alarm_says_what_it_means_what_to_do_and_what_silence_means(data: Any) -> None:
    federation = Federation.model_validate(data)
    for alarm in alarms(federation):
        for text in (alarm.meaning, alarm.remedy, alarm.silence):
            assert len(text) > 20, alarm.id
        for node in nodes(federation):
            assert len(alarm.name(node)) <= 255
            assert len(alarm.description) <= 1024


def test_reading_what_the_alarms_are_does_not_load_cdk() -> None:
    code = "import sys, stacks.alarms, stacks.dashboard; sys.exit('aws_cdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0


def test_the_page_about_monitoring_names_every_alarm_and_every_metric(data: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text("utf-8")
    named = [alarm.id for alarm in alarms(Federation.model_validate(data))]
    named += [measure.name for measure in measures.MEASURES]
    assert [name for name in named if f"`{name}`" not in page] == []

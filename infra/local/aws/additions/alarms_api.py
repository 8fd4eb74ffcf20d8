"""CloudWatch that is alive: metrics come out of logs, alarms have the state of their metrics, and tell their topics.

moto keeps alarms in the state that they were made in and takes embedded metrics for text. Here a state is evaluated
when somebody asks for it (``DescribeAlarms``), rather than every minute. A topic is told where its policy lets
CloudWatch tell it; the policy of the topic's key is not asked. Nothing is ever sent out of the process: a mail
subscription is recorded. EC2 reports no metric of its own here, so an alarm on one stands as its missing data says.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.logs.models import LogsBackend
from moto.sns.models import sns_backends

from infra.local.aws.additions.alarm_states import Rule, State, state_of
from infra.local.aws.additions.embedded_metrics import extracted
from infra.local.aws.iam_policy import allows, statements

_CLOUDWATCH = "cloudwatch.amazonaws.com"
_SECONDS_A_MINUTE = 60
#: A run on loopback may be told in thousands of lines; what is older than this many values is forgotten.
_MOST_VALUES = 100_000
_evaluating = threading.Lock()


def add(clock: Callable[[], float] = time.time) -> None:
    """Have the services do it, once in a process."""
    put_log_events, describe_alarms = LogsBackend.put_log_events, CloudWatchResponse.describe_alarms

    def put(self: Any, log_group_name: str, log_stream_name: str, log_events: list[dict[str, Any]]) -> Any:
        answer = put_log_events(self, log_group_name, log_stream_name, log_events)
        backend = cloudwatch_backends[self.account_id][self.region_name]
        for event in log_events:
            for datum in extracted(event["message"]):
                backend.put_metric_data(datum.namespace, [datum.for_moto()])
        del backend.metric_data[:-_MOST_VALUES]
        return answer

    def describe(self: Any) -> Any:
        with _evaluating:
            evaluate(self.cloudwatch_backend, clock())
        return describe_alarms(self)

    LogsBackend.put_log_events = put
    CloudWatchResponse.describe_alarms = describe


def warm_up(account: str, region: str, alarm: str, minutes: int) -> None:
    """Let a new alarm wait so long at most until it has values enough."""
    cloudwatch_backends[account][region].alarms[alarm].federate_warm_up = minutes * _SECONDS_A_MINUTE


def evaluate(backend: CloudWatchBackend, now: float) -> None:
    """Bring the alarms of an account and Region into the state that their metrics ask for, and tell their topics.

    Args:
        backend: moto's CloudWatch of the account and Region.
        now: seconds since 1970.
    """
    for alarm in list(backend.alarms.values()):
        rule = _rule(alarm)
        if rule is None:
            continue
        values = _values(backend, alarm)
        before: State = alarm.state_value
        made = alarm.configuration_updated_timestamp.replace(tzinfo=UTC).timestamp()
        is_warming_up = now < made + getattr(alarm, "federate_warm_up", 0)
        if is_warming_up and len({int(at) // rule.period for at, _ in values if at >= made}) < rule.periods:
            continue
        state = state_of(rule, values, now=now, before=before)
        if state != before:
            reason = f"{rule.statistic} of {alarm.metric_name} {rule.comparison} {rule.threshold:g}: {state}"
            alarm.update_state(reason, "{}", state)
            _tell(alarm, backend.account_id, before)


def _rule(alarm: Alarm) -> Rule | None:
    """Return what an alarm watches for; None where it is of a kind that is only recorded."""
    if not alarm.metric_name or alarm.metric_data_queries or alarm.rule is not None:
        return None
    periods = int(alarm.evaluation_periods)
    rule = Rule(
        str(alarm.statistic),
        str(alarm.comparison_operator),
        float(alarm.threshold),
        int(alarm.period),
        periods,
        int(alarm.datapoints_to_alarm or periods),
        alarm.treat_missing_data or "missing",
    )
    return rule if rule.is_emulated else None


def _values(backend: CloudWatchBackend, alarm: Alarm) -> list[tuple[float, float]]:
    wanted = {dimension.name: dimension.value for dimension in alarm.dimensions}
    return [
        (datum.timestamp.replace(tzinfo=UTC).timestamp(), datum.value)
        for datum in list(backend.metric_data)
        if datum.namespace == alarm.namespace
        and datum.name == alarm.metric_name
        and {dimension.name: dimension.value for dimension in datum.dimensions} == wanted
    ]


def _tell(alarm: Alarm, account: str, before: State) -> None:
    """Publish the change to the topics of the new state, in the form of CloudWatch's own messages."""
    actions = {
        "ALARM": alarm.alarm_actions,
        "OK": alarm.ok_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
    }[alarm.state_value]
    message = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": account,
        "AlarmArn": alarm.alarm_arn,
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "OldStateValue": before,
    }
    for arn in actions if alarm.actions_enabled else ():
        _, _, _, region, owner, _ = arn.split(":", 5)
        topic = sns_backends[owner][region].topics.get(arn)
        if topic is not None and may_publish(json.loads(topic.policy), arn, alarm.alarm_arn, account):
            topic.publish(json.dumps(message), subject=f"{alarm.state_value}: {alarm.name}"[:99])


def may_publish(policy: Mapping[str, Any], topic: str, alarm: str, account: str) -> bool:
    """Say whether a topic's policy lets CloudWatch publish for an alarm.

    Args:
        policy: the topic's.
        topic: its ARN.
        alarm: the alarm's ARN.
        account: the alarm's.
    """
    context = {
        "aws:SourceArn": alarm,
        "aws:SourceAccount": account,
        "AWS:SourceOwner": account,
        "aws:SecureTransport": "true",
    }
    concerned = [
        {**statement, "Action": _full(statement["Action"])} for statement in statements(policy) if _is_meant(statement)
    ]
    return allows([{"Statement": concerned}], "sns:Publish", topic, context)


def _is_meant(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal", {})
    if principal == "*" or "*" in principal.get("AWS", ()):
        return True
    services = principal.get("Service", ())
    return _CLOUDWATCH in ([services] if isinstance(services, str) else services)


def _full(actions: str | list[str]) -> list[str]:
    """Return a statement's actions with the service's name in small letters, as SNS's default policy has it not."""
    return [action.replace("SNS:", "sns:") for action in ([actions] if isinstance(actions, str) else actions)]

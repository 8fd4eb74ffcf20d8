"""CloudWatch: alarms on one metric, and dashboards."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.resources.base import (
    Attributes,
    Call,
    Handler,
    Made,
    Properties,
    Schema,
    boolean,
    document,
    integer,
    names,
    only,
    pick,
)

_NUMBERS = ("Period", "EvaluationPeriods", "DatapointsToAlarm")


class Alarm(Handler):
    """``AWS::CloudWatch::Alarm``; its state follows the metric, see ``additions/alarms_api``. No metric math."""

    type = "AWS::CloudWatch::Alarm"
    schema = Schema(
        create_only=names("AlarmName"),
        updatable=names(
            "AlarmDescription Namespace MetricName Dimensions Statistic Unit Period EvaluationPeriods "
            "DatapointsToAlarm Threshold ComparisonOperator TreatMissingData ActionsEnabled AlarmActions OKActions "
            "InsufficientDataActions WarmUpConfiguration"
        ),
        required=names("ComparisonOperator EvaluationPeriods MetricName Namespace Period Statistic Threshold"),
        name="AlarmName",
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the alarm; refused where its name is taken, though the service would change that one."""
        cloudwatch = call.service("cloudwatch")
        name = properties.get("AlarmName") or call.generated_name(255)
        if cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
            raise ResourceFailure(f"{name} already exists", code="AlreadyExists")
        cloudwatch.put_metric_alarm(**_alarm(name, properties), Tags=properties.get("Tags", []))
        call.begun(name)
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="INSUFFICIENT_DATA", StateReason="just made")
        self._warm_up(call, name, properties)
        return Made(name, {"Arn": _arn(call, name)})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the alarm; it keeps its state until the next evaluation."""
        cloudwatch = call.service("cloudwatch")
        (before,) = cloudwatch.describe_alarms(AlarmNames=[physical_id])["MetricAlarms"]
        cloudwatch.put_metric_alarm(**_alarm(physical_id, new))
        cloudwatch.set_alarm_state(
            AlarmName=physical_id, StateValue=before["StateValue"], StateReason="as before its change"
        )
        _retag(cloudwatch, _arn(call, physical_id), old, new)
        self._warm_up(call, physical_id, new)
        return {"Arn": _arn(call, physical_id)}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the alarm."""
        call.service("cloudwatch").delete_alarms(AlarmNames=[physical_id])

    @staticmethod
    def _warm_up(call: Call, name: str, properties: Properties) -> None:
        from infra.local.aws.additions.alarms_api import warm_up

        asked = properties.get("WarmUpConfiguration", {})
        only(
            asked,
            "WarmUpConfiguration",
            "WarmUpPeriodDurationInMinutes",
            "OnlyStartEvaluatingAfterWarmUpPeriodEnds",
        )
        if boolean(asked.get("OnlyStartEvaluatingAfterWarmUpPeriodEnds", False)):
            raise ResourceFailure("OnlyStartEvaluatingAfterWarmUpPeriodEnds is not implemented on loopback AWS")
        warm_up(call.account, call.region, name, integer(asked.get("WarmUpPeriodDurationInMinutes", 0)))


class Dashboard(Handler):
    """``AWS::CloudWatch::Dashboard``; there is no console here that would draw it."""

    type = "AWS::CloudWatch::Dashboard"
    schema = Schema(
        create_only=names("DashboardName"),
        updatable=names("DashboardBody"),
        required=names("DashboardBody"),
        name="DashboardName",
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the dashboard; refused where its name is taken, though the service would change that one."""
        cloudwatch = call.service("cloudwatch")
        name = properties.get("DashboardName") or call.generated_name(255)
        try:
            cloudwatch.get_dashboard(DashboardName=name)
        except ClientError:
            self._put(cloudwatch, name, properties)
            return Made(name)
        raise ResourceFailure(f"{name} already exists", code="AlreadyExists")

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the body."""
        self._put(call.service("cloudwatch"), physical_id, new)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the dashboard; one that is gone is no error."""
        cloudwatch = call.service("cloudwatch")
        found = cloudwatch.list_dashboards(DashboardNamePrefix=physical_id)["DashboardEntries"]
        if any(entry["DashboardName"] == physical_id for entry in found):
            cloudwatch.delete_dashboards(DashboardNames=[physical_id])

    @staticmethod
    def _put(cloudwatch: Any, name: str, properties: Properties) -> None:
        body = document(properties["DashboardBody"])
        try:
            json.loads(body)
        except ValueError as error:
            raise ResourceFailure(f"The field DashboardBody must be a valid JSON object: {error}") from None
        cloudwatch.put_dashboard(DashboardName=name, DashboardBody=body)


def _alarm(name: str, properties: Properties) -> dict[str, Any]:
    """Return the arguments of PutMetricAlarm."""
    asked = pick(
        properties,
        "AlarmDescription",
        "Namespace",
        "MetricName",
        "Dimensions",
        "Statistic",
        "Unit",
        "ComparisonOperator",
        "TreatMissingData",
        "AlarmActions",
        "OKActions",
        "InsufficientDataActions",
    )
    asked |= {number: integer(properties[number]) for number in _NUMBERS if number in properties}
    enabled = boolean(properties.get("ActionsEnabled", True))
    return {"AlarmName": name, **asked, "Threshold": float(properties["Threshold"]), "ActionsEnabled": enabled}


def _arn(call: Call, name: str) -> str:
    return f"arn:aws:cloudwatch:{call.region}:{call.account}:alarm:{name}"


def _retag(cloudwatch: Any, arn: str, old: Properties, new: Properties) -> None:
    if new.get("Tags") != old.get("Tags"):
        wanted = {tag["Key"] for tag in new.get("Tags", [])}
        gone = [tag["Key"] for tag in old.get("Tags", []) if tag["Key"] not in wanted]
        if gone:
            cloudwatch.untag_resource(ResourceARN=arn, TagKeys=gone)
        if wanted:
            cloudwatch.tag_resource(ResourceARN=arn, Tags=new["Tags"])


HANDLERS = (Alarm(), Dashboard())

"""What watches a node, in its own account: a topic, alarms, a dashboard. Metrics come with the node's log."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.federation.derive import Node
from infra.federation.model import Federation
from node_bootstrap import measures
from stacks.alarms import MINUTE, Alarm, alarms
from stacks.dashboard import dashboard
from stacks.permissions import Statement, policy


class Watch(Construct):
    """The topic, the dashboard, and the alarms that outlive the node; in the storage stack.

    Args:
        scope: the storage stack.
        id_: construct id.
        federation: for its thresholds.
        home: the node that is watched.
        key_arn: the account's own key, which encrypts what waits in the topic.
    """

    def __init__(self, scope: Construct, id_: str, *, federation: Federation, home: Node, key_arn: str) -> None:
        super().__init__(scope, id_)
        made = alarms(federation)
        if not made:
            return
        if home.spec.alarm_topic is None:
            self._topic(home, key_arn)
        for alarm in made:
            if not alarm.goes_with_node:
                _alarm(self, home, alarm, measures.dimensions(home.federation, home.id))
        cloudwatch.CfnDashboard(self, "Dashboard", dashboard_name=home.watch_name, dashboard_body=dashboard(home, made))

    def _topic(self, home: Node, key_arn: str) -> None:
        topic = sns.CfnTopic(self, "Topic", topic_name=home.watch_name, kms_master_key_id=key_arn)
        sns.CfnTopicPolicy(self, "TopicPolicy", topics=[topic.ref], policy_document=topic_policy(home))
        if home.spec.alarm_email is not None:
            sns.CfnSubscription(self, "Mail", topic_arn=topic.ref, protocol="email", endpoint=home.spec.alarm_email)


def watch_node(scope: Construct, *, federation: Federation, home: Node, instance_id: str) -> None:
    """Add the alarms that come and go with a node to its stack: or they would be on for a node that nobody wants.

    Args:
        scope: the node's stack.
        federation: for what is watched.
        home: the node.
        instance_id: of its instance; may be a CDK token.
    """
    for alarm in alarms(federation):
        if alarm.goes_with_node:
            own = alarm.namespace == measures.NAMESPACE
            dimensions = measures.dimensions(home.federation, home.id) if own else {"InstanceId": instance_id}
            _alarm(scope, home, alarm, dimensions)


def topic_policy(home: Node) -> dict[str, object]:
    """Return who may publish to the node's topic: CloudWatch, for this node's alarms, and over TLS alone.

    Without a statement for the account's own people, IAM decides about them.

    Source: Amazon SNS Developer Guide, "Example cases for Amazon SNS access control".
    """
    topic = home.alarm_topic
    allowed: Statement = {
        "Sid": "AlarmsOfThisNode",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {
            "ArnLike": {"aws:SourceArn": home.alarm_pattern},
            "StringEquals": {"aws:SourceAccount": home.account},
        },
    }
    tls_only: Statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return policy(allowed, tls_only)


def _alarm(scope: Construct, home: Node, alarm: Alarm, dimensions: dict[str, str]) -> None:
    warm_up = alarm.warm_up_minutes
    cloudwatch.CfnAlarm(
        scope,
        "".join(word.capitalize() for word in alarm.id.split("-")) + "Alarm",
        alarm_name=alarm.name(home),
        alarm_description=alarm.description,
        namespace=alarm.namespace,
        metric_name=alarm.metric,
        dimensions=[
            cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value) for name, value in dimensions.items()
        ],
        statistic=alarm.statistic,
        period=MINUTE,
        evaluation_periods=alarm.minutes,
        datapoints_to_alarm=alarm.minutes,
        threshold=alarm.threshold,
        comparison_operator=alarm.comparison,
        treat_missing_data=alarm.missing,
        warm_up_configuration=cloudwatch.CfnAlarm.WarmUpConfigurationProperty(
            only_start_evaluating_after_warm_up_period_ends=False, warm_up_period_duration_in_minutes=warm_up
        )
        if warm_up
        else None,
        # That it is over is news as well.
        alarm_actions=[home.alarm_topic],
        ok_actions=[home.alarm_topic],
    )

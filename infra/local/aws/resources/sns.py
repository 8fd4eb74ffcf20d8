"""SNS: topics, who may publish to them, and who is told."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, document, names, pick

_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId")


class Topic(Handler):
    """``AWS::SNS::Topic``; what is published is kept in memory, not encrypted."""

    type = "AWS::SNS::Topic"
    schema = Schema(
        create_only=names("TopicName"), updatable=names("DisplayName KmsMasterKeyId"), name="TopicName", tags="list"
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the topic; refused where its name is taken, though the service would return that one."""
        sns = call.service("sns")
        name = properties.get("TopicName") or call.generated_name(256)
        arn = f"arn:aws:sns:{call.region}:{call.account}:{name}"
        if _exists(sns, arn):
            raise ResourceFailure(f"{name} already exists", code="AlreadyExists")
        sns.create_topic(Name=name, Attributes=pick(properties, *_ATTRIBUTES), Tags=properties.get("Tags", []))
        return Made(arn, {"TopicArn": arn, "TopicName": name})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change its key, its name for people, and its tags."""
        sns = call.service("sns")
        for name in _ATTRIBUTES:
            if old.get(name) != new.get(name):
                sns.set_topic_attributes(TopicArn=physical_id, AttributeName=name, AttributeValue=new.get(name, ""))
        if new.get("Tags") != old.get("Tags"):
            wanted = {tag["Key"] for tag in new.get("Tags", [])}
            gone = [tag["Key"] for tag in old.get("Tags", []) if tag["Key"] not in wanted]
            if gone:
                sns.untag_resource(ResourceArn=physical_id, TagKeys=gone)
            if wanted:
                sns.tag_resource(ResourceArn=physical_id, Tags=new["Tags"])
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the topic with its subscriptions."""
        call.service("sns").delete_topic(TopicArn=physical_id)


class TopicPolicy(Handler):
    """``AWS::SNS::TopicPolicy``; it is asked when an alarm tells the topic, and by nobody else here."""

    type = "AWS::SNS::TopicPolicy"
    schema = Schema(updatable=names("PolicyDocument Topics"), required=names("PolicyDocument Topics"))

    def create(self, call: Call, properties: Properties) -> Made:
        """Give the topics the policy."""
        self._put(call, properties)
        return Made(call.generated_name(64))

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Give the topics the new policy, and those that it is no longer for the one that every topic begins with."""
        self._forget(call, [arn for arn in old["Topics"] if arn not in new["Topics"]])
        self._put(call, new)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Give the topics the policy back that every topic begins with; the account's own principals alone."""
        self._forget(call, properties["Topics"])

    @staticmethod
    def _put(call: Call, properties: Properties) -> None:
        for arn in properties["Topics"]:
            call.service("sns").set_topic_attributes(
                TopicArn=arn, AttributeName="Policy", AttributeValue=document(properties["PolicyDocument"])
            )

    @staticmethod
    def _forget(call: Call, topics: list[str]) -> None:
        sns = call.service("sns")
        for arn in topics:
            if _exists(sns, arn):
                own = {
                    "Sid": "__default_statement_ID",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": "SNS:Publish",
                    "Resource": arn,
                    "Condition": {"StringEquals": {"AWS:SourceOwner": call.account}},
                }
                text = json.dumps({"Version": "2008-10-17", "Statement": [own]})
                sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=text)


class Subscription(Handler):
    """``AWS::SNS::Subscription``; record-only for mail: nothing is sent, and nobody has to confirm it."""

    type = "AWS::SNS::Subscription"
    schema = Schema(create_only=names("TopicArn Protocol Endpoint"), required=names("TopicArn Protocol"))

    def create(self, call: Call, properties: Properties) -> Made:
        """Subscribe."""
        made = call.service("sns").subscribe(
            **pick(properties, "TopicArn", "Protocol", "Endpoint"), ReturnSubscriptionArn=True
        )
        return Made(made["SubscriptionArn"], {"Arn": made["SubscriptionArn"]})

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """End the subscription; one that went with its topic is no error."""
        call.service("sns").unsubscribe(SubscriptionArn=physical_id)


def _exists(sns: Any, arn: str) -> bool:
    try:
        sns.get_topic_attributes(TopicArn=arn)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NotFound", "NotFoundException"):
            return False
        raise
    return True


HANDLERS = (Topic(), TopicPolicy(), Subscription())

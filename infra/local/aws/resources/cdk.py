"""``AWS::CDK::Metadata``: what the CDK notes about itself; it makes nothing on AWS either."""

from __future__ import annotations

from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, names


class Metadata(Handler):
    """The CDK's own note."""

    type = "AWS::CDK::Metadata"
    schema = Schema(updatable=names("Analytics"))

    def create(self, call: Call, properties: Properties) -> Made:
        """Give it a name."""
        return Made(call.generated_name(64))

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change nothing."""
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete nothing."""


HANDLERS = (Metadata(),)

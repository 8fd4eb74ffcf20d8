"""``AWS::SSM::Parameter``."""

from __future__ import annotations

from typing import Any

from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, names, pick


class Parameter(Handler):
    """A parameter of the parameter store. SecureString cannot be made by CloudFormation, here as on AWS."""

    type = "AWS::SSM::Parameter"
    schema = Schema(
        create_only=names("Name"),
        updatable=names("Type Value Description AllowedPattern Tier DataType"),
        required=names("Type Value"),
        name="Name",
        tags="map",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Put the parameter; refused where its name is taken."""
        name = properties.get("Name") or f"CFN-{call.generated_name(100)}"
        tags = [{"Key": key, "Value": value} for key, value in properties.get("Tags", {}).items()]
        call.service("ssm").put_parameter(**_asked(name, properties), Tags=tags)
        return Made(name, {"Type": properties["Type"], "Value": properties["Value"]})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Put the new value."""
        ssm = call.service("ssm")
        ssm.put_parameter(**_asked(physical_id, new), Overwrite=True)
        had, wanted = old.get("Tags", {}), new.get("Tags", {})
        target = {"ResourceType": "Parameter", "ResourceId": physical_id}
        if gone := sorted(set(had) - set(wanted)):
            ssm.remove_tags_from_resource(**target, TagKeys=gone)
        if wanted != had and wanted:
            ssm.add_tags_to_resource(**target, Tags=[{"Key": k, "Value": v} for k, v in wanted.items()])
        return {"Type": new["Type"], "Value": new["Value"]}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the parameter."""
        call.service("ssm").delete_parameter(Name=physical_id)


def _asked(name: str, properties: Properties) -> dict[str, Any]:
    given = pick(properties, "Type", "Value", "Description", "AllowedPattern", "Tier", "DataType")
    return {"Name": name, **given}


HANDLERS = (Parameter(),)

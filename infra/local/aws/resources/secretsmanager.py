"""``AWS::SecretsManager::Secret``."""

from __future__ import annotations

import json
from typing import Any

from infra.local.aws.resources.base import (
    Attributes,
    Call,
    Handler,
    Made,
    Properties,
    Schema,
    boolean,
    integer,
    names,
    only,
    pick,
)


class Secret(Handler):
    """A secret, given or generated."""

    type = "AWS::SecretsManager::Secret"
    schema = Schema(
        create_only=names("Name"),
        updatable=names("Description KmsKeyId SecretString GenerateSecretString"),
        name="Name",
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the secret."""
        client = call.service("secretsmanager")
        asked = pick(properties, "Description", "KmsKeyId", "SecretString", "Tags")
        if "GenerateSecretString" in properties:
            asked["SecretString"] = _generate(client, properties["GenerateSecretString"])
        arn = client.create_secret(Name=properties.get("Name") or call.generated_name(100), **asked)["ARN"]
        return Made(arn, {"Id": arn})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the value, description and key; a changed way of generating makes a new value."""
        client = call.service("secretsmanager")
        asked = pick(new, "Description", "KmsKeyId", "SecretString")
        if "GenerateSecretString" in new and old.get("GenerateSecretString") != new["GenerateSecretString"]:
            asked["SecretString"] = _generate(client, new["GenerateSecretString"])
        if asked:
            client.update_secret(SecretId=physical_id, **asked)
        if new.get("Tags") != old.get("Tags"):
            client.untag_resource(SecretId=physical_id, TagKeys=[tag["Key"] for tag in old.get("Tags", [])])
            client.tag_resource(SecretId=physical_id, Tags=new.get("Tags", []))
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the secret at once, as CloudFormation does."""
        call.service("secretsmanager").delete_secret(SecretId=physical_id, ForceDeleteWithoutRecovery=True)


def _generate(client: Any, how: Properties) -> str:
    switches = (
        "ExcludeLowercase",
        "ExcludeNumbers",
        "ExcludePunctuation",
        "ExcludeUppercase",
        "IncludeSpace",
        "RequireEachIncludedType",
    )
    only(
        how,
        "GenerateSecretString",
        *switches,
        "ExcludeCharacters",
        "PasswordLength",
        "GenerateStringKey",
        "SecretStringTemplate",
    )
    asked: dict[str, Any] = {name: boolean(how[name]) for name in switches if name in how}
    asked |= pick(how, "ExcludeCharacters")
    if "PasswordLength" in how:
        asked["PasswordLength"] = integer(how["PasswordLength"])
    password: str = client.get_random_password(**asked)["RandomPassword"]
    if "GenerateStringKey" not in how:
        return password
    return json.dumps({**json.loads(how["SecretStringTemplate"]), how["GenerateStringKey"]: password})


HANDLERS = (Secret(),)

"""The authority in Secrets Manager of the aggregator's own account, from where another machine can fetch it.

The secret's name is outside of what the aggregator's node may read: a node needs no authority's key.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.accounts import explained
from infra.errors import FederateError
from infra.federation.derive import authority_secret
from infra.identity.folder import is_begun
from infra.identity.packing import pack, put_stored, read_stored, unpack
from infra.nodes.remote import Remote

#: Secrets Manager's own limit on a secret's value.
_MOST_BYTES = 65_536
_MISSING = "ResourceNotFoundException"


class NothingStored(FederateError):
    """There is no authority to store, or none was stored."""

    exit_code = 4


class WouldOverwrite(FederateError):
    """What is there, here or in the account, is not what was seen last, and would be lost."""

    exit_code = 3


def store(hub: Remote, folder: Path) -> bool:
    """Store the authority; return whether anything was new.

    Args:
        hub: the aggregator, in whose account the secret is.
        folder: the authority's.

    Raises:
        NothingStored: there is no authority here.
        WouldOverwrite: another machine has stored since this one did, or fetched.
    """
    if not is_begun(folder):
        raise NothingStored(f"There is no authority in {folder}.", remedy="federate deploy makes one, once.")
    text = pack(folder)
    if len(text.encode()) > _MOST_BYTES:
        raise FederateError(
            f"The authority has {len(text.encode())} bytes; a secret holds {_MOST_BYTES}.",
            remedy=f"Back {folder} up yourself.",
        )
    client, name = hub.client("secretsmanager"), authority_secret(hub.node.federation)
    seen = read_stored(folder)
    with explained(hub.where):
        found = _read(client, name)
        if found is None:
            tags = [{"Key": "federate:federation", "Value": hub.node.federation}]
            made = client.create_secret(Name=name, SecretString=text, Tags=tags)
        elif found["SecretString"] == text:
            put_stored(folder, found["VersionId"], _digest(text))
            return False
        elif found["VersionId"] != seen.get("version"):
            raise WouldOverwrite(
                f"The secret {name} in account {hub.node.account} was stored from elsewhere since this machine last "
                "stored or fetched it.",
                remedy=f"Move {folder} away and fetch it: federate identity fetch. What was signed here alone is then "
                "not in the list; the nodes keep their certificates.",
            )
        else:
            made = client.put_secret_value(SecretId=name, SecretString=text)
    put_stored(folder, made["VersionId"], _digest(text))
    return True


def fetch(hub: Remote, folder: Path) -> bool:
    """Fetch the stored authority; return whether anything was new.

    Raises:
        NothingStored: none was stored.
        WouldOverwrite: the one that is here has changes that were not stored.
    """
    name = authority_secret(hub.node.federation)
    with explained(hub.where):
        found = _read(hub.client("secretsmanager"), name)
    if found is None:
        raise NothingStored(
            f"Account {hub.node.account} has no secret {name}.",
            remedy="Where the authority is: federate identity store.",
        )
    text = found["SecretString"]
    if is_begun(folder):
        here = pack(folder)
        if here == text:
            put_stored(folder, found["VersionId"], _digest(text))
            return False
        if read_stored(folder).get("sha256") != _digest(here):
            raise WouldOverwrite(
                f"The authority in {folder} was changed since it was last stored, and would be lost.",
                remedy=f"Store it: federate identity store. Or move {folder} away, and fetch.",
            )
    unpack(folder, text)
    put_stored(folder, found["VersionId"], _digest(text))
    return True


def is_stored(folder: Path) -> bool | None:
    """Say whether the authority is stored as it is now; None where it never was. Asks no account."""
    stored = read_stored(folder)
    return stored.get("sha256") == _digest(pack(folder)) if stored else None


def _read(client: Any, name: str) -> Any:
    try:
        return client.get_secret_value(SecretId=name)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == _MISSING:
            return None
        raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

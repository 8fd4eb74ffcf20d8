"""The AWS configuration of a local session: the federation's profiles, and nothing of the user's own."""

from __future__ import annotations

from pathlib import Path

from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.local.aws.accounts import SECRET, static_key


def write(federation: Federation, folder: Path) -> dict[str, str]:
    """Write the config and credentials files.

    Args:
        federation: whose profiles are written.
        folder: where to.

    Returns:
        The environment that makes AWS's tools use them.
    """
    config, credentials = folder / "aws-config", folder / "aws-credentials"
    profiles = {node.profile: node for node in nodes(federation) if node.is_operated_here}
    _put(
        config,
        "".join(f"[{_section(name)}]\nregion = {node.region}\noutput = json\n" for name, node in profiles.items()),
    )
    _put(
        credentials,
        "".join(
            f"[{name}]\naws_access_key_id = {static_key(node.account)}\naws_secret_access_key = {SECRET}\n"
            for name, node in profiles.items()
        ),
    )
    return {
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _section(profile: str) -> str:
    return "default" if profile == "default" else f"profile {profile}"


def _put(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)

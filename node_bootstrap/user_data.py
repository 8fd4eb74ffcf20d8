"""User data: the script that an instance runs once, and the facts in it, which never change.

Whatever may change is fetched by the agent at each start. The rest of the work is the machine image's.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

#: Where the facts lie on a node, and what the machine image holds to go on from there.
FACTS_PATH = "/etc/federate/node.json"
BOOTSTRAP_PATH = "/opt/federate/bin/federate-bootstrap"
_BEGIN, _END = "<<'FEDERATE_FACTS'", "FEDERATE_FACTS"

#: Where the image has no Federate, nobody else could say so: the script does, in the account's own parameter store.
_SCRIPT = """\
#!/bin/bash
# Written by Federate; run once, when the instance first starts. It holds nothing secret and nothing that changes.
set -u
umask 077
mkdir -p /etc/federate
cat > {facts_path} {begin}
{facts}
{end}
if [ -x {bootstrap} ]; then
    exec {bootstrap} {facts_path}
fi
reason="the machine image has no {bootstrap}: it is not one that Federate's install script has made"
echo "federate: $reason" >&2
aws ssm put-parameter --overwrite --type String --region {region} --name {parameter} \\
    --value "{{\\"state\\": \\"failed\\", \\"reason\\": \\"$reason\\"}}"
exit 1
"""


class NoFacts(ValueError):
    """The text is not user data that :func:`render` wrote."""


def render(facts: Mapping[str, str]) -> str:
    """Return the script that makes an instance the node that the facts describe.

    Args:
        facts: see :class:`node_bootstrap.agent.facts.Facts`; values may be CDK tokens.
    """
    return _SCRIPT.format(
        facts_path=FACTS_PATH,
        bootstrap=BOOTSTRAP_PATH,
        begin=_BEGIN,
        end=_END,
        facts=json.dumps(dict(facts), indent=1),
        region=shlex.quote(facts["region"]),
        parameter=shlex.quote(f"{facts['parameter_prefix']}/state"),
    )


def facts_in(script: str) -> dict[str, str]:
    """Return the facts in a script that :func:`render` wrote.

    Raises:
        NoFacts: it is not such a script.
    """
    _, begin, rest = script.partition(f"{_BEGIN}\n")
    text, end, _ = rest.partition(f"\n{_END}\n")
    if not (begin and end):
        raise NoFacts("this is not Federate's user data: it holds no facts about a node")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NoFacts(f"the facts in the user data are not JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise NoFacts("the facts in the user data are not names and texts")
    return found

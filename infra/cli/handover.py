"""``federate export`` and ``join``: parties who share no credentials take part in one federation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Context, context
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID

if TYPE_CHECKING:
    from infra.deployment.assembly import Assembly
    from infra.federation.derive import Node
    from infra.handover.document import HandOver
    from infra.nodes.remote import Remote


class NotElsewhere(FederateError):
    """A site is operated from here, or there is no such site."""

    exit_code = 2


class HubNotReady(FederateError):
    """The hub lacks what a site needs of it."""

    exit_code = 4


class NotWritten(FederateError):
    """The answer to a site cannot be written where it was asked for."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: federate export hospital-a --output hospital-a.zip")(export)
    app.command(epilog="Example: federate join handover.json --output certificate.json")(join)


def export(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="Whose admin gets the kit.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR|FILE.zip", help="Where to; a zip if it ends so.")
    ] = None,
) -> None:
    """Write a site's startup kit: templates, summary, release and script, and nothing of anybody else's."""
    from infra.cli.image_sharing import warn_of_image
    from infra.cli.nodes import remotes_of
    from infra.cli.supplying import release_of
    from infra.deployment.assembly import synthesize
    from infra.handover import kit as kits

    here = context(ctx, makes_nodes=True)
    node = _site(here, site)
    (hub,) = remotes_of(here, [AGGREGATOR_ID])
    assembly = synthesize(here.file, here.federation, home=here.home)
    _refuse_unless_expected(here, hub, node)
    warn_of_image(here, node)
    kit = kits.make(
        here.federation,
        node,
        assembly.plan,
        template_of=lambda stack: (assembly.folder / f"{stack.id}.template.json").read_text("utf-8"),
        value_of=lambda source: _of_hub(hub, source.stack, source.output),
        release=release_of(here),
    )
    path = kit.write(output or here.home / "kits" / f"{kit.name}.zip")
    document: dict[str, Any] = {"site": site, "kit": str(path), "digest": kit.digest, "files": sorted(kit.files)}
    lines = [
        f"The startup kit of {site}: {path}",
        f"Its digest, to be told on the phone (sha256sum MANIFEST.sha256): {kit.digest}",
    ]
    if path.is_file():
        document["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if node.is_operated_here:
        lines.append(f"{site} is operated from here; if its own admin is to: operated_by: site, in its block.")
    else:
        lines.append("Its admin sends back handover.json; then: federate join handover.json")
    here.answer(document, "\n".join(lines))


def join(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The hand-over that the site's admin sent.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The answer, for the site's admin.")
    ] = Path("certificate.json"),
    renew: Annotated[bool, typer.Option("--renew", help="The site has made a new key, and that is meant.")] = False,
) -> None:
    """Take a site's hand-over: check it, link the site to the hub, and sign its node's certificate."""
    from infra.accounts import explained
    from infra.cli.deploy import place
    from infra.cli.identity_change import authority_here
    from infra.cli.image_sharing import warn_of_image
    from infra.cli.nodes import remotes_of
    from infra.cli.supplying import release_of
    from infra.deployment.assembly import synthesize
    from infra.handover import document as documents
    from infra.handover import join as joining

    here = context(ctx, makes_nodes=True)
    assembly = synthesize(here.file, here.federation, home=here.home)
    handed = documents.read(file, here.federation, _patterns(assembly))
    if handed.node.is_operated_here:
        raise NotElsewhere(
            f"{handed.node.id} is operated from here, by the profile {handed.node.profile}.",
            remedy="federate deploy links it; if its own admin operates it: operated_by: site, in its block.",
        )
    authority = authority_here(here)
    (hub,) = remotes_of(here, [AGGREGATOR_ID])
    with explained(hub.where):
        connections = _connections(hub, handed.values["PeeringId"])
        joining.check_peering(str(file), handed, connections, _of_hub(hub, "HubNetwork", "VpcId"))
    warn_of_image(here, handed.node)
    kept = here.home / "hand-over" / here.federation.name / f"{handed.node.id}.json"
    # Who may not have a certificate is not linked either.
    answered = joining.answer(handed, here.federation, authority, kept, renew=renew)
    link = place(here).link(handed.node.id, handed.values)
    _write(output, answered.text)
    _warn_of_release(here, handed, release_of(here).digest)
    document = json.loads(answered.text)
    here.answer(
        {"site": handed.node.id, "link": link.name, "answer": str(output), "serial": document["serial"]}
        | {"is_new": answered.is_new},
        f"{handed.node.id} is linked ({link.name}). Its certificate {document['serial']} "
        f"{'is signed now' if answered.is_new else 'is the one of before'}.\n"
        f"Send its admin {output} (nothing in it is secret), for: python3 site.py admit {output.name}",
    )


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise NotWritten(
            f"The site is linked and its certificate is signed, but {output} cannot be written: {error.strerror}.",
            remedy="The same command with another --output: it gives the same answer again.",
        ) from None


def _site(here: Context, site: str) -> Node:
    from infra.federation.derive import nodes

    known = {node.id: node for node in nodes(here.federation)[1:]}
    if site not in known:
        raise NotElsewhere(f"The federation has no site {site!r}.", remedy=f"There are {', '.join(known)}.")
    return known[site]


def _refuse_unless_expected(here: Context, hub: Remote, node: Node) -> None:
    """Make sure that the hub is deployed, and has the role that accepts this site's peering."""
    from botocore.exceptions import ClientError

    from infra.accounts import explained
    from infra.federation.derive import accept_role_name

    _of_hub(hub, "HubNetwork", "VpcId")
    if node.account == hub.node.account:
        return
    role = accept_role_name(here.federation, node.id)
    with explained(hub.where):
        try:
            document = hub.client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchEntity":
                raise
            document = {}
    if node.account not in json.dumps(document):
        raise HubNotReady(
            f"The hub would not accept the peering of {node.id} in account {node.account}: the role {role} is not "
            "there, or is another account's.",
            remedy=f"Deploy the hub with this file: federate deploy --only {AGGREGATOR_ID}.",
        )


def _of_hub(hub: Remote, stack: str, output: str) -> str:
    from infra.nodes.remote import NotDeployed

    try:
        part = stack.removeprefix("Hub")
        if part not in ("Storage", "Network", "Node"):
            raise NotDeployed(f"{stack} is not a stack that a site may know.")
        return hub.stack_output(part, output)  # type: ignore[arg-type]  # it is one of the three
    except NotDeployed as error:
        raise HubNotReady(
            f"A site's kit needs {output} of the hub, which is not deployed.",
            remedy=f"Deploy the hub first: federate deploy --only {AGGREGATOR_ID}.",
        ) from error


def _patterns(assembly: Assembly) -> dict[str, dict[str, str]]:
    """Return, for each site, the patterns of what the hub's link to it asks of the site."""
    from infra.handover.kit import crossing

    found = {}
    for stack in assembly.plan.stacks:
        if stack.id.startswith("HubLink-"):
            site = stack.id.removeprefix("HubLink-")
            template = json.loads((assembly.folder / f"{stack.id}.template.json").read_text("utf-8"))
            declared = template["Parameters"]
            found[site] = {name: declared[name]["AllowedPattern"] for name in crossing(assembly.plan, site)}
    return found


def _connections(hub: Remote, peering: str) -> list[dict[str, Any]]:
    """Return the peering as the hub's account describes it; none if it has no such one."""
    answer = hub.client("ec2").describe_vpc_peering_connections(
        Filters=[{"Name": "vpc-peering-connection-id", "Values": [peering]}]
    )
    return [one for one in answer["VpcPeeringConnections"] if one["VpcPeeringConnectionId"] == peering]


def _warn_of_release(here: Context, handed: HandOver, release: str) -> None:
    if handed.release != release:
        here.say(
            f"{handed.node.id} has approved the release {handed.release[:12]}; the one here is {release[:12]}. "
            f"Export a new kit before rounds are started."
        )

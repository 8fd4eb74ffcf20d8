"""``federate image``: make machine images, try how they are made, and pin which one the nodes get."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from infra.cli.context import Aws, Context, context
from infra.cli.deploy import NotConfirmed, confirm, place
from infra.cli.image_sharing import share
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.federation.images import LockedImage, Slot
    from infra.federation.model import Federation
    from infra.images.found import Images
    from infra.images.pipeline import Pipelines

_POLL_SECONDS = 30.0
_IMAGE = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class NoImageYet(FederateError):
    """The pipeline has made no image for some nodes."""

    exit_code = 4


class RecordOnly(FederateError):
    """AWS on loopback records the pipeline, and cannot run it."""

    exit_code = 4


class BuildFailed(FederateError):
    """An image could not be made."""


class BadOption(FederateError):
    """An option's value cannot be."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    image = typer.Typer(no_args_is_help=True, help="Machine images: make them, rehearse it, pin and share them.")
    image.command("show", epilog="Example: federate image show")(show)
    image.command("lock", epilog="Example: federate image lock --ami ami-0123456789abcdef0 --kind gpu")(lock)
    image.command("share", epilog="Example: federate image share")(share)
    image.command("deploy", epilog="Example: federate image deploy")(deploy)
    image.command("build", epilog="Example: federate image build --wait")(build)
    image.command("destroy", epilog="Example: federate image destroy --yes")(destroy)
    image.command("rehearse", epilog="Example: federate image rehearse")(rehearse)
    app.add_typer(image, name="image")


def show(ctx: typer.Context) -> None:
    """Show which image each node gets that is made now, and where that is said. Asks no account."""
    from infra.federation.derive import nodes
    from infra.federation.images import lock_file, read_lock, slot_of, with_locked

    here = context(ctx)
    written = _as_written(here)
    said = {node.id: node for node in nodes(written)}
    locked = read_lock(lock_file(here.file))
    document: dict[str, Any] = {}
    for node in nodes(with_locked(written, locked)):
        slot = slot_of(written, node.spec)
        file_says = said[node.id].image
        source = here.file.name if file_says else lock_file(here.file).name if node.image else None
        entry = locked.images.get(slot) if slot and source and not file_says else None
        document[node.id] = {
            "slot": slot.name if slot else None,
            "region": node.region,
            "image": node.image,
            "said_by": source,
            "federate": entry.federate if entry else None,
        }
    lines = [
        f"  {id_:12} {one['slot'] or '?':11} {one['region']:14} {one['image'] or 'none':22} {one['said_by'] or ''}"
        for id_, one in document.items()
    ]
    here.answer(document, "\n".join(lines))


def lock(
    ctx: typer.Context,
    ami: Annotated[
        str | None,
        typer.Option("--ami", metavar="AMI", help="Pin this image, whoever made it; the newest if left out."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="gpu|cpu", help="What that image is for; its tags say it if left out."),
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Where that image is; the federation's Region if left out.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Pin images in images.lock.json: show what changes, and write it once confirmed. No running node changes."""
    from infra.accounts import AwsAccounts
    from infra.federation.derive import nodes
    from infra.federation.images import lock_file, read_lock
    from infra.images.found import Images
    from infra.images.renewal import changes

    here = context(ctx)
    if (ami is None and (kind or region)) or kind not in (None, "gpu", "cpu") or (ami and not _IMAGE.fullmatch(ami)):
        raise BadOption(
            "--kind is gpu or cpu, and goes with --ami ami-…, as --region does.", remedy="federate image lock -h"
        )
    federation = _as_written(here)
    _refuse_unless_region(federation, region)
    path = lock_file(here.file)
    locked = read_lock(path)
    here.reach_aws(federation)
    images = Images(nodes(federation)[0], AwsAccounts())
    if ami is None:
        chosen = _newest(federation, images)
    else:
        slot, found = images.by_id(ami, region or federation.region, cast(Literal["gpu", "cpu"] | None, kind))
        _refuse_if_for_nobody(federation, slot, found)
        chosen = {slot: found}
    changed = [change for change in changes(federation, locked, chosen) if change.is_one]
    document: dict[str, Any] = {
        "file": str(path),
        "changes": [change.as_dict() for change in changed],
        "written": False,
    }
    if not changed:
        here.answer(document, f"{path.name} pins these already: nothing changes.")
        return
    text = "\n".join(change.text() for change in changed)
    if not here.json:
        print(text)
    ask_first(f"Write {path.name}?", what=f"{path.name} is written", yes=yes)
    path.write_text(locked.changed(chosen).text(), "utf-8")
    here.answer({**document, "written": True}, f"Written: {path}. Nodes keep the image that they have until replaced.")


def deploy(ctx: typer.Context) -> None:
    """Deploy the image pipeline into the aggregator's account, and bring it what images are made from."""
    here = context(ctx, makes_nodes=True)
    at = place(here)
    stack = at.deploy_pipeline()
    digests = _pipelines(here).supply()
    text = f"Deployed: {stack.name}, with the sources {', '.join(digest[:12] for digest in digests)}."
    if here.aws is Aws.LOOPBACK:
        text += "\n  AWS on loopback records the pipeline and makes no image: federate image rehearse."
    here.answer({"deployed": stack.name, "sources": digests}, text)


def build(
    ctx: typer.Context,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the images are there: an hour or so.")] = False,
) -> None:
    """Start the pipeline for every kind of image that the nodes need."""
    from infra.federation.images import slots

    here = context(ctx, makes_nodes=True)
    if here.aws is Aws.LOOPBACK:
        raise RecordOnly(
            "AWS on loopback records the image pipeline; it has no Image Builder to run it.",
            remedy="federate image rehearse executes the same components on this machine.",
        )
    pipelines = _pipelines(here)
    kinds = {(slot.architecture, slot.kind): slot for slot in slots(here.federation)}
    started = {slot.name: pipelines.start(slot) for slot in kinds.values()}
    states = {name: pipelines.state(arn) for name, arn in started.items()}
    while wait and any(status not in ("AVAILABLE", "FAILED", "CANCELLED") for status, _ in states.values()):
        time.sleep(_POLL_SECONDS)
        states = {name: pipelines.state(arn) for name, arn in started.items()}
        here.say(", ".join(f"{name}: {status.lower()}" for name, (status, _) in states.items()))
    failed = [f"{name}: {status} {reason}".rstrip() for name, (status, reason) in states.items() if _is_failure(status)]
    if failed:
        raise BuildFailed(
            "\n".join(failed), remedy="The log groups /aws/imagebuilder/… in the aggregator's account say more."
        )
    lines = [f"  {name}: {states[name][0].lower()}, {arn}" for name, arn in started.items()]
    here.answer({name: {"image": arn, "state": states[name][0]} for name, arn in started.items()}, "\n".join(lines))


def destroy(ctx: typer.Context, yes: Yes = False) -> None:
    """Delete the image pipeline; the images that it has made stay, and so does the lock file."""
    here = context(ctx)
    confirm(here, "Delete the image pipeline?", what="a real account's image pipeline is deleted", yes=yes)
    stack = place(here).destroy_pipeline()
    here.answer({"deleted": stack.name}, f"Deleted: {stack.name}. Images that it has made are still there.")


def rehearse(ctx: typer.Context) -> None:
    """Execute the image's components on this machine, in the twin's own root: build, validate, train one round.

    It needs root and systemd-nspawn; the first time takes minutes. No account is asked.
    """
    from infra.local.twin.machines.rehearsal import rehearse as run

    here = context(ctx)
    done = run(here.say)
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in done.seconds.items())
    here.answer(
        {"root": str(done.root), "seconds": dict(done.seconds)},
        f"Every component passed ({took}), on Debian and a CPU: not on an image of AWS.",
    )


def _newest(federation: Federation, images: Images) -> Mapping[Slot, LockedImage]:
    """Return the newest image for every slot whose nodes take a locked one.

    Raises:
        NoImageYet: naming the slots for which there is none.
    """
    from infra.federation.images import slots
    from infra.images.renewal import served

    wanted = {slot: served(federation, slot) for slot in slots(federation)}
    found = {slot: images.newest(slot) for slot, for_nodes in wanted.items() if for_nodes}
    lacking = [f"{slot}, for {', '.join(wanted[slot])}" for slot, image in found.items() if image is None]
    if lacking:
        raise NoImageYet(
            "The pipeline has made no image of " + "; of ".join(lacking) + ".",
            remedy="federate image build makes them; federate image lock --ami AMI pins one of your own.",
        )
    return {slot: image for slot, image in found.items() if image is not None}


def _refuse_unless_region(federation: Federation, region: str | None) -> None:
    """Refuse a Region in which no node stands: an image is of one Region, and nobody would get it.

    Raises:
        BadOption: naming the nodes' Regions.
    """
    from infra.federation.derive import nodes
    from infra.federation.words import listed

    known = sorted({node.region for node in nodes(federation)})
    if region is not None and region not in known:
        raise BadOption(
            f"--region is {region!r}, where no node of the federation stands.",
            remedy=f"Its nodes stand in {listed(known)}.",
        )


def _refuse_if_for_nobody(federation: Federation, slot: Slot, image: LockedImage) -> None:
    """Refuse an image that no node could boot from, or that no node would get.

    Raises:
        UnfitImage: saying which ones are needed.
    """
    from infra.federation.images import slots
    from infra.images.found import UnfitImage

    needed = slots(federation)
    if slot not in needed:
        raise UnfitImage(
            f"{image.image} ({image.name}) is {slot}, and no node is.",
            remedy=f"The nodes' instance types need {', '.join(map(str, needed))}.",
        )


def _pipelines(here: Context) -> Pipelines:
    from infra.accounts import AwsAccounts
    from infra.deployment.assembly import synthesize
    from infra.deployment.condition import Stacks
    from infra.deployment.instances import pipeline_stack
    from infra.images.pipeline import Pipelines

    here.reach_aws()
    accounts = AwsAccounts()
    stack = pipeline_stack(synthesize(here.file, here.federation, home=here.home).plan)
    return Pipelines(stack, Stacks(accounts).outputs(stack), accounts)


def _as_written(here: Context) -> Federation:
    """Return the federation as its file says, without the lock; that images are missing is no problem here."""
    from infra.federation.load import load

    return load(here.file, locked=False, without_images=True).federation


def ask_first(question: str, *, what: str, yes: bool) -> None:
    """Have a person confirm what was shown, on AWS on loopback too.

    Raises:
        NotConfirmed: nobody is there.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed(f"Nobody is there to confirm that {what}.", remedy="Add --yes.")
    typer.confirm(question, abort=True)


def _is_failure(status: str) -> bool:
    return status in ("FAILED", "CANCELLED")

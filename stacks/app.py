"""From a federation to its stacks and the plan that deploys them."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import Acknowledgment, App, Validations

from infra.federation.derive import Node, nodes
from infra.federation.digest import digest
from infra.federation.model import Federation
from stacks import limits, node_image
from stacks.acknowledged import MEANT
from stacks.base import FederateStack
from stacks.hub_link import HubLink
from stacks.hub_network import HubNetwork
from stacks.node import NodeStack
from stacks.plan import PLAN_FILE, DeploymentPlan
from stacks.site_network import SiteNetwork
from stacks.storage import Storage

HUB_NETWORK = "HubNetwork"


def build(federation: Federation, *, outdir: Path) -> tuple[App, DeploymentPlan]:
    """Build all stacks; nothing is looked up, and nothing but the federation goes into a template.

    Args:
        federation: what to build.
        outdir: folder for the templates.

    Returns:
        The app, not yet synthesised, and the plan, whose stacks are in an order in which they can be deployed.
    """
    app = App(outdir=str(outdir), analytics_reporting=False, tree_metadata=False, stack_traces=False)
    Validations.of(app).acknowledge(
        *(Acknowledgment(id=f"CloudFormation-Validate::{rule}", reason=reason) for rule, reason in MEANT.items())
    )
    hub, *sites = nodes(federation)
    storage = Storage(app, "HubStorage", federation=federation, home=hub, phase="hub")
    network = HubNetwork(app, HUB_NETWORK, federation=federation, home=hub, sites=sites, storage=storage)
    stacks: list[FederateStack] = [storage, network]
    for site in sites:
        stacks += _site(app, federation, site, hub)
    for site in sites:
        stacks.append(
            HubLink(
                app,
                f"HubLink-{site.id}",
                federation=federation,
                home=hub,
                site=site,
                site_network=_site_network_id(site),
                hub_network=network,
            )
        )
    stacks.append(
        NodeStack(
            app,
            "HubNode",
            federation=federation,
            home=hub,
            phase="links",
            network=network.network,
            storage=storage,
        )
    )
    image = node_image.build(app, federation=federation, home=hub, sites=tuple(sites))
    if image is not None:
        stacks.append(image)
    return app, DeploymentPlan(
        federation=federation.name, digest=digest(federation), stacks=tuple(stack.plan for stack in stacks)
    )


def synthesize(federation: Federation, *, outdir: Path) -> Path:
    """Write templates and plan.

    Returns:
        The folder they are in.

    Raises:
        TooLarge: a template is more than AWS takes.
    """
    app, plan = build(federation, outdir=outdir)
    folder = Path(app.synth().directory)
    limits.check(federation, folder)
    plan.write(folder / PLAN_FILE)
    return folder


def _site(app: App, federation: Federation, site: Node, hub: Node) -> list[FederateStack]:
    storage = Storage(app, f"SiteStorage-{site.id}", federation=federation, home=site, phase="sites")
    network = SiteNetwork(
        app,
        _site_network_id(site),
        federation=federation,
        home=site,
        hub=hub,
        hub_network=HUB_NETWORK,
        storage=storage,
    )
    node = NodeStack(
        app,
        f"SiteNode-{site.id}",
        federation=federation,
        home=site,
        phase="sites",
        network=network.network,
        storage=storage,
    )
    return [storage, network, node]


def _site_network_id(site: Node) -> str:
    return f"SiteNetwork-{site.id}"

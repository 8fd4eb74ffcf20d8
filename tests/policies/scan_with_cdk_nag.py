"""A process of its own that synthesises federations under cdk-nag's packs, and writes what they find.

    python scan_with_cdk_nag.py FOLDER

FOLDER has one ``<variant>.json`` for each federation; for each, ``<variant>/`` gets the templates, the plan and
``validation-report.json``. One that is named ``canary`` has defects planted into it first. A process of its own,
because what CDK validates is fixed when the first test imports it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from infra.federation.model import Federation
from stacks.nodejs import use_pinned_node

use_pinned_node()

import aws_cdk as cdk  # noqa: E402 - it starts the Node.js that was chosen
import cdk_nag  # noqa: E402
from aws_cdk import aws_ec2 as ec2  # noqa: E402
from aws_cdk import aws_iam as iam  # noqa: E402
from aws_cdk import aws_s3 as s3  # noqa: E402

from stacks.app import build  # noqa: E402
from stacks.permissions import allow, policy  # noqa: E402
from stacks.plan import PLAN_FILE  # noqa: E402

CANARY = "canary"
STACK = "SiteNetwork-hospital-a"


def plant(app: cdk.App) -> None:
    """Put a door to the world, a public bucket and a policy that allows everything into a site's network."""
    stack = app.node.find_child(STACK)
    ec2.CfnSecurityGroup(
        stack,
        "PlantedGroup",
        group_description="open to everybody",
        security_group_ingress=[
            ec2.CfnSecurityGroup.IngressProperty(ip_protocol="tcp", from_port=22, to_port=22, cidr_ip="0.0.0.0/0")
        ],
    )
    s3.CfnBucket(stack, "PlantedBucket", access_control="PublicRead")
    everything = policy(allow("Everything", ["*"], ["*"]))
    iam.CfnManagedPolicy(stack, "PlantedPolicy", policy_document=everything)


def scan(name: str, federation: Federation, folder: Path) -> None:
    """Synthesise one federation under the packs."""
    app, plan = build(federation, outdir=folder)
    if name == CANARY:
        plant(app)
    packs = (cdk_nag.AwsSolutionsChecks(app), cdk_nag.HIPAASecurityChecks(app), cdk_nag.NIST80053R5Checks(app))
    cdk.Validations.of(app).add_plugins(*packs)
    try:
        app.synth()
    except RuntimeError as error:
        # Findings end a synth this way; the report is written before. Anything else must not look like one.
        if "ValidationFailed" not in str(error):
            raise
    plan.write(folder / PLAN_FILE)


if __name__ == "__main__":
    for file in sorted(Path(sys.argv[1]).glob("*.json")):
        scan(file.stem, Federation.model_validate(json.loads(file.read_text("utf-8"))), file.with_suffix(""))

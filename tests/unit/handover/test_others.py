"""A site comes or goes, and it is proven that no other site's templates change by a byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_cloud import small_plan

from infra.deployment.assembly import Assembly
from infra.handover.others import OthersTouched, compare
from stacks.plan import DeploymentPlan

NEW = "hospital-b"


def assembly(folder: Path, plan: DeploymentPlan, **templates: str) -> Assembly:
    """Write the templates of a plan, some of them with a text of their own."""
    folder.mkdir()
    for stack in plan.stacks:
        (folder / f"{stack.id}.template.json").write_text(templates.get(stack.id.replace("-", "_"), stack.id))
    return Assembly(folder, plan)


def without_new(plan: DeploymentPlan) -> DeploymentPlan:
    return replace(plan, stacks=tuple(stack for stack in plan.stacks if not stack.id.endswith(NEW)))


def test_a_new_site_changes_the_hub_at_most(tmp_path: Path) -> None:
    before = assembly(tmp_path / "a", without_new(small_plan()))
    after = assembly(tmp_path / "b", small_plan(), HubNetwork="one more role")
    found = compare(before, after, NEW)
    assert found.changed == ("HubNetwork",)
    assert set(found.new) == {f"Site{part}-{NEW}" for part in ("Storage", "Network", "Node")} | {f"HubLink-{NEW}"}
    assert found.gone == ()
    assert {"SiteNetwork-hospital-a", "HubLink-hospital-a"} <= set(found.same)
    assert compare(after, before, NEW).gone == found.new


@pytest.mark.parametrize("touched", ["SiteStorage-hospital-a", "SiteNode-hospital-a", "HubLink-hospital-a"])
def test_a_byte_at_another_site_is_an_error_that_names_the_stack(tmp_path: Path, touched: str) -> None:
    before = assembly(tmp_path / "a", without_new(small_plan()))
    after = assembly(tmp_path / "b", small_plan(), **{touched.replace("-", "_"): f"{touched} "})
    with pytest.raises(OthersTouched, match=touched):
        compare(before, after, NEW)


def test_another_site_that_goes_as_well_is_an_error(tmp_path: Path) -> None:
    before = assembly(tmp_path / "a", small_plan())
    plan = small_plan()
    after = assembly(
        tmp_path / "b", replace(plan, stacks=tuple(one for one in plan.stacks if "hospital-" not in one.id))
    )
    with pytest.raises(OthersTouched, match="SiteNetwork-hospital-a"):
        compare(before, after, NEW)

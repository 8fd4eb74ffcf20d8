"""The machine image's components, executed for real in the root that the twin's nodes boot from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from needs import cannot_run

from infra.local.twin import machines
from infra.local.twin.machines import tools
from infra.local.twin.machines.components import StepFailed
from infra.local.twin.machines.rehearsal import rehearse
from node_bootstrap.image import documents

#: The first one builds the base, if no other has.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

TORCH = "/opt/federate/venv/lib/python3.11/site-packages/torch"
NOTHING = "{name: nothing, schemaVersion: 1.0, phases: [], parameters: [{SourceDigest: {type: string}}]}"


@pytest.fixture(scope="module")
def base() -> Path:
    try:
        tools.require(*tools.PACKAGES)
    except tools.CannotHaveMachines as error:
        cannot_run(str(error))
    return machines.ensure(machines.cache_folder(), print)


def test_the_image_is_validated_and_trains_a_round_and_the_base_is_as_it_was(base: Path) -> None:
    def state() -> list[str]:
        listed = subprocess.run(
            ["find", base, "-mindepth", "1", "-path", "*/site-packages", "-prune", "-o", "-printf", "%p %s %T@\n"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return sorted(listed.stdout.splitlines())

    before, told = state(), []
    done = rehearse(told.append)
    assert done.root == base
    assert list(done.seconds) == ["validate", "test"]
    assert told[-1] == "federate-test: TrainOneRound"
    assert state() == before
    assert list(base.parent.glob("rehearsal-*")) == []


@pytest.mark.parametrize(
    ("harm", "step", "said"),
    [
        (f"rm -rf {TORCH}", "Versions", "torch cannot be imported"),
        (
            "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key;"
            "mkdir -p /var/lib/federate; touch /var/lib/federate/patient.csv.gz",
            "NothingOfOneMachine",
            r"(?s)/etc/ssh/ssh_host_ed25519_key.*/var/lib/federate/patient\.csv\.gz",
        ),
        ("chmod a-x /opt/federate/bin/federate-state", "Files", "federate-state is missing, or cannot be run"),
        ("sed -i s/ExecStart=/ExecStart=relative/ /etc/systemd/system/federate-agent.service", "Units", "relative"),
    ],
)
def test_negative_control_an_image_with_a_fault_does_not_pass_its_validation(
    base: Path, harm: str, step: str, said: str
) -> None:
    del base
    with pytest.raises(StepFailed, match=said) as caught:
        rehearse(lambda _: None, prepare=harm)
    assert (caught.value.component, caught.value.phase, caught.value.step) == ("federate-validate", "validate", step)


def test_negative_control_an_image_without_torch_trains_no_round_and_says_why(base: Path) -> None:
    del base
    with pytest.raises(StepFailed, match="No module named 'torch'") as caught:
        rehearse(
            lambda _: None,
            read=lambda name: NOTHING if name == "validate" else documents.document(name),
            prepare=f"rm -rf {TORCH}",
        )
    assert (caught.value.phase, caught.value.step) == ("test", "TrainOneRound")

"""The pipelines are supplied, started and asked in the words of AWS's own API models."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from fake_cloud import stack

from infra.accounts import AwsRefused
from infra.federation.images import Slot
from infra.images.pipeline import NotMade, Pipelines
from node_bootstrap.image import source
from stacks.plan import NODE_IMAGE

GPU = Slot("us-east-1", "x86_64", "gpu")
PIPELINE = "arn:aws:imagebuilder:us-east-1:333333333333:image-pipeline/federate-fed-gpu-x86_64"
IMAGE = "arn:aws:imagebuilder:us-east-1:333333333333:image/federate-fed-gpu-x86-64/1.0.7/1"
OUTPUTS = {"BucketName": "fed-nodeimage-source-x", "PipelineArnX8664Gpu": PIPELINE}


@pytest.fixture
def clients() -> dict[str, Any]:
    """Clients that reach nothing: whatever is not expected, or not as the API model has it, is an error."""
    session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "-", region_name="us-east-1")
    return {service: session.client(service) for service in ("imagebuilder", "s3")}


def pipelines(clients: dict[str, Any], outputs: dict[str, str] | None = None) -> Pipelines:
    class Accounts:
        def client(self, service: str, *, profile: str, region: str) -> Any:
            assert (profile, region) == ("aggregator", "us-east-1")
            return clients[service]

    return Pipelines(stack(NODE_IMAGE, "image", "aggregator"), OUTPUTS if outputs is None else outputs, Accounts())  # type: ignore[arg-type]


def test_the_pipeline_of_a_kind_is_started_and_the_image_that_comes_of_it_is_asked_for(clients: dict[str, Any]) -> None:
    with Stubber(clients["imagebuilder"]) as aws:
        asked = {"imagePipelineArn": PIPELINE}
        aws.add_response("start_image_pipeline_execution", {"imageBuildVersionArn": IMAGE}, asked)
        state = {"image": {"state": {"status": "FAILED", "reason": "step TrainOneRound"}}}
        aws.add_response("get_image", state, {"imageBuildVersionArn": IMAGE})
        made = pipelines(clients)
        assert made.start(GPU) == IMAGE
        assert made.state(IMAGE) == ("FAILED", "step TrainOneRound")
        aws.assert_no_pending_responses()


def test_both_archives_are_put_where_the_components_look_for_them(clients: dict[str, Any]) -> None:
    archives = [source.archive(source.INSTALLED), source.archive(source.TESTED)]
    with Stubber(clients["s3"]) as aws:
        for archive in archives:
            asked = {"Bucket": OUTPUTS["BucketName"], "Key": f"{archive.digest}.tar", "Body": archive.content}
            aws.add_response("put_object", {}, asked)
        assert pipelines(clients).supply() == [archive.digest for archive in archives]
        aws.assert_no_pending_responses()


@pytest.mark.parametrize("outputs", [{}, {"BucketName": "b"}])
def test_a_kind_that_no_pipeline_makes_is_said_with_the_command(clients: Any, outputs: dict[str, str]) -> None:
    with pytest.raises(NotMade, match=r"PipelineArnX8664Gpu.\n.*federate image deploy"):
        pipelines(clients, outputs).start(GPU)


def test_what_aws_refuses_is_told_with_whose_account_it_was(clients: dict[str, Any]) -> None:
    with Stubber(clients["imagebuilder"]) as aws:
        aws.add_client_error("start_image_pipeline_execution", "ForbiddenException", "no permission")
        with pytest.raises(AwsRefused, match=r"aggregator, account 333333333333.*no permission"):
            pipelines(clients).start(GPU)

"""The pipelines in the aggregator's account: what they build from is put there, they are started, and watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.accounts import Accounts, explained
from infra.errors import FederateError
from infra.federation.images import Slot
from node_bootstrap.image import source
from stacks.plan import SOURCE_BUCKET_OUTPUT, StackPlan, pipeline_output


class NotMade(FederateError):
    """The pipeline is not deployed, or makes no images of this kind."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Pipelines:
    """The deployed pipelines of one federation.

    Args:
        stack: the stack that has them.
        outputs: what it says of itself.
        accounts: AWS's APIs.
    """

    stack: StackPlan
    outputs: Mapping[str, str]
    accounts: Accounts

    def supply(self) -> list[str]:
        """Put what images are made from into the bucket, named by digest; return the digests.

        Raises:
            NotMade: there is no bucket.
        """
        bucket = self._output(SOURCE_BUCKET_OUTPUT)
        archives = [source.archive(source.INSTALLED), source.archive(source.TESTED)]
        with explained(self._where):
            s3 = self._client("s3")
            for archive in archives:
                s3.put_object(Bucket=bucket, Key=f"{archive.digest}.tar", Body=archive.content)
        return [archive.digest for archive in archives]

    def start(self, slot: Slot) -> str:
        """Start the pipeline for a slot; return the ARN of the image that is being made.

        Raises:
            NotMade: none makes this kind of image.
        """
        arn = self._output(pipeline_output(slot.architecture, slot.kind))
        with explained(self._where):
            answer = self._client("imagebuilder").start_image_pipeline_execution(imagePipelineArn=arn)
        return str(answer["imageBuildVersionArn"])

    def state(self, image: str) -> tuple[str, str]:
        """Return how far an image is, in Image Builder's word, and its reason if it gives one."""
        with explained(self._where):
            found = self._client("imagebuilder").get_image(imageBuildVersionArn=image)["image"]["state"]
        return str(found["status"]), str(found.get("reason") or "")

    def _output(self, name: str) -> str:
        if name not in self.outputs:
            raise NotMade(
                f"The stack {self.stack.name} has no output {name}.",
                remedy="federate image deploy: it was never deployed, or before there was a node of this kind.",
            )
        return self.outputs[name]

    def _client(self, service: str) -> Any:
        return self.accounts.client(service, profile=self.stack.profile, region=self.stack.region)

    @property
    def _where(self) -> str:
        return f"{self.stack.node}, account {self.stack.account}, profile {self.stack.profile}"

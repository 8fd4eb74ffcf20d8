"""The job at a Flower client."""

import os
import sys

sys.path.insert(0, os.environ["BENCH_PEERS"])
import job
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Fit for a round. Flower may start a process for each message, so the data is made anew."""
    place = int(context.node_config["place"])
    os.environ["BENCH_TIMES"] = os.path.join(os.environ["BENCH_WORK"], f"times-{place}")
    net, (points, labels) = job.model(), job.data(place)
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    job.fit(net, points, labels)
    content = {"arrays": ArrayRecord(net.state_dict()), "metrics": MetricRecord({"num-examples": job.SAMPLES})}
    return Message(content=RecordDict(content), reply_to=message)

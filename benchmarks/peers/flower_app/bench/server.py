"""FedAvg by Flower's own strategy."""

import os
import sys

sys.path.insert(0, os.environ["BENCH_PEERS"])
import job
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds."""
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=2, min_available_nodes=2)
    arrays = ArrayRecord(job.model().state_dict())
    strategy.start(grid=grid, initial_arrays=arrays, num_rounds=int(context.run_config["rounds"]))

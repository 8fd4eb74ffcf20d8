"""FLARE's POC: server and two clients as processes of their own, mutual TLS, FedAvg by its recipe."""

import os
import sys

sys.path.insert(0, os.environ["BENCH_PEERS"])


def main() -> None:
    """Run the rounds that are asked for."""
    from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
    from nvflare.recipe.poc_env import PocEnv

    rounds = int(sys.argv[1])
    recipe = FedAvgRecipe(
        name="bench",
        model={"class_path": "torch.nn.Linear", "args": {"in_features": 22_100, "out_features": 2}},
        min_clients=2,
        num_rounds=rounds,
        train_script=os.path.join(os.environ["BENCH_PEERS"], "flare_client.py"),
        server_expected_format="pytorch",
    )
    environment = PocEnv(num_clients=2)
    run = recipe.execute(environment)
    try:
        print("result", run.get_result(timeout=float(sys.argv[2])))
    finally:
        environment.stop(clean_up=True)


if __name__ == "__main__":
    main()

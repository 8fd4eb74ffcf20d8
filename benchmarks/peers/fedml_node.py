"""The job on stock FedML 0.9.6: its own gRPC, no TLS; torchvision and the call home are stood in for."""

import os
import sys
import types

sys.path.insert(0, os.environ["BENCH_PEERS"])


class _AnyName(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {})


class _StandIn(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {})


_NAMES = " .transforms .datasets .models .datasets.utils .datasets.folder .utils .models.resnet"
for _name in f"{_NAMES} .transforms.functional .datasets.vision".split(" "):
    _module = _StandIn(f"torchvision{_name}")
    _module.__path__ = []
    sys.modules[f"torchvision{_name}"] = _module

import fedml  # noqa: E402
import fedml.core.mlops  # noqa: E402
import job  # noqa: E402
import torch  # noqa: E402
from fedml.core import ClientTrainer, ServerAggregator  # noqa: E402
from fedml.cross_silo import Client, Server  # noqa: E402

fedml.core.mlops.fetch_config = lambda *_, **__: False


class Trainer(ClientTrainer):
    """Fits as everywhere."""

    def get_model_params(self):
        return self.model.state_dict()

    def set_model_params(self, parameters):
        self.model.load_state_dict(parameters)

    def train(self, train_data, device, args):
        job.fit(self.model, *train_data)

    def test(self, test_data, device, args):
        return None


class Aggregator(ServerAggregator):
    """FedML's FedAvg; no evaluation."""

    def get_model_params(self):
        return self.model.state_dict()

    def set_model_params(self, parameters):
        self.model.load_state_dict(parameters)

    def test(self, test_data, device, args):
        return 0.0, 0.0, None, None

    def test_all(self, *_):
        return True


def main() -> None:
    """Be the server or a client, as the arguments that FedML reads say."""
    args = fedml.init(check_env=False)
    clients = range(args.client_num_in_total)
    own = job.data(args.rank)
    parts = [job.SAMPLES, 0, None, None, dict.fromkeys(clients, job.SAMPLES), dict.fromkeys(clients, own),
             dict.fromkeys(clients), 2]  # fmt: skip
    net, device = job.model(), torch.device("cpu")
    if args.rank == 0:
        Server(args, device, parts, net, Aggregator(net, args)).run()
    else:
        os.environ["BENCH_TIMES"] = os.path.join(os.environ["BENCH_WORK"], f"times-{args.rank}")
        Client(args, device, parts, net, Trainer(net, args)).run()


if __name__ == "__main__":
    main()

"""The job at a FLARE client."""

import os
import sys

sys.path.insert(0, os.environ["BENCH_PEERS"])
import job
import nvflare.client as flare

flare.init()
name = flare.get_site_name()
os.environ["BENCH_TIMES"] = os.path.join(os.environ["BENCH_WORK"], f"times-{name}")
net, (points, labels) = job.model(), job.data(len(name) + int(name[-1]))
while flare.is_running():
    received = flare.receive()
    net.load_state_dict(received.params)
    job.fit(net, points, labels)
    flare.send(flare.FLModel(params=net.state_dict(), meta={"NUM_STEPS_CURRENT_ROUND": job.SAMPLES}))

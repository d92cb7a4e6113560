"""A Ray cluster of two nodes on this machine, with a job server. Prints its URL; loses a node at the first line it reads."""

import os
import sys
import tempfile
from pathlib import Path

from plb_ray.cluster.runtime import CURRENT_CLUSTER, ENVIRONMENT

os.environ.update(ENVIRONMENT)
folder = Path(tempfile.mkdtemp(prefix="plb-two-", dir="/tmp"))
NODE = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024, "dashboard_agent_listen_port": 0}

from ray.cluster_utils import Cluster  # noqa: E402  reads the environment

Path("/tmp/ray").mkdir(exist_ok=True)  # where Cluster writes its address, which nobody is to use
cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": True, "temp_dir": str(folder)})
(folder / CURRENT_CLUSTER).write_text(cluster.address)
second = cluster.add_node(**NODE)
sys.stdout.write(f"http://{cluster.webui_url}\n")
sys.stdout.flush()
if sys.stdin.readline():
    cluster.remove_node(second, allow_graceful=False)
    sys.stdin.readline()
cluster.shutdown()
Path("/tmp/ray/ray_current_cluster").unlink(missing_ok=True)

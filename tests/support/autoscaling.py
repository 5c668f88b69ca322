"""Ray's own autoscaler over its fake node provider: worker nodes of one machine that come with demand and go when idle.

It is the autoscaler that KubeRay runs, version 2; only the provider, which would ask Kubernetes for pods, starts
raylets beside the head instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD_ID = "f" * 51 + "00000"
"""The node id that the fake provider gives to the head."""
HEAD_TYPE = "ray.head.default"
"""The only type of a head that the fake provider knows."""
UPDATE_EVERY_S = 1
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
UNUSED = (
    "file_mounts",
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
"""Members of a cluster's configuration that must be there and mean nothing for nodes of one machine."""


@dataclass(frozen=True)
class Autoscaling:
    """How the cluster may grow.

    Attributes:
        most: Worker nodes at once.
        cpus: CPUs of each.
        idle_s: After how long an unused node goes.
    """

    most: int
    cpus: int = 1
    idle_s: float = 6.0

    @property
    def environ(self) -> dict[str, str]:
        """What the head finds in its environment, beside that of every node."""
        return {
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
            "AUTOSCALER_UPDATE_INTERVAL_S": str(UPDATE_EVERY_S),
        }

    def write(self, file: Path, address: str) -> Path:
        """Write the cluster's configuration for a head at an address; return its file."""
        provider = {
            "type": "external",
            "module": PROVIDER,
            "gcs_address": address,
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        }
        head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
        worker = {"resources": {"CPU": self.cpus}, "node_config": {}, "min_workers": 0, "max_workers": self.most}
        document: dict[str, Any] = {
            "cluster_name": "fake",
            "max_workers": self.most,
            "upscaling_speed": 1.0,
            "idle_timeout_minutes": self.idle_s / 60,
            "provider": provider,
            "auth": {},
            "head_node_type": HEAD_TYPE,
            "available_node_types": {HEAD_TYPE: head, "worker": worker},
            **{name: {} if name == "file_mounts" else [] for name in UNUSED},
        }
        file.write_text(json.dumps(document))
        return file

"""`ray start` for several nodes of one machine that listen on loopback only: `python -m tests.support.ray_start ...`.

Ray names a node of a cluster of several by the address that other machines see, and then listens on every interface.
With `RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0` it stays on loopback, but refuses to add nodes; here it does not.
"""

from __future__ import annotations

from ray._private import ray_constants, services
from ray.scripts.scripts import main

LOOPBACK = "127.0.0.1"

if __name__ == "__main__":
    ray_constants.ENABLE_RAY_CLUSTER = True
    services.get_node_ip_address = lambda _address=None: LOOPBACK
    main()

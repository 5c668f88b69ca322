"""Joining the Ray cluster: the same way in every process, quiet, and never waiting for ever."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMESPACE = "lth"
CALL_TIMEOUT_S = 5.0
LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 120.0
READY_FILE = "LTH_RAY_READY"
"""Variable that names the file in which the dispatcher puts the local cluster's address once it can be joined."""

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "5",
}
"""What keeps Tune from writing state that nobody reads; set before Tune is imported."""


def environment(token_path: str, *, loopback: bool) -> dict[str, str]:
    """What every process that joins the cluster needs in its environment before Python starts.

    Args:
        token_path: File with the cluster's token, readable by the owner only.
        loopback: Whether the cluster lives on this machine alone; Ray then names nodes by the loopback address.
    """
    found = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token_path, "RAY_USAGE_STATS_ENABLED": "0"}
    if loopback:
        found["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    return found


def connect(address: str, environ: Mapping[str, str] = os.environ) -> None:
    """Join the cluster; a local one that is still starting is waited for, with ray imported meanwhile.

    Args:
        address: `host:port` of its head.
        environ: Where the file is named that holds the local cluster's address once it can be joined.

    Raises:
        ConnectionError: If there is no such cluster, or it refuses our token.
    """
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    ready = environ.get(READY_FILE)
    if ready:
        _wait_for(Path(ready), address)
    options: dict[str, Any] = {"_node_ip_address": LOOPBACK} if is_local(address) else {}
    ray.init(
        address=address,
        namespace=NAMESPACE,
        log_to_driver=False,
        configure_logging=False,
        logging_level=logging.ERROR,
        **options,
    )


def is_local(address: str) -> bool:
    """Whether a cluster lives on this machine alone."""
    return address.startswith(f"{LOOPBACK}:")


def _wait_for(file: Path, address: str) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(FileNotFoundError):
            if file.read_text() == address:
                return
        time.sleep(0.1)
    raise ConnectionError(f"the cluster at {address} was not ready after {START_TIMEOUT_S:g} s")

"""Joining the Ray cluster: the same way in every process, quiet, and never waiting for ever."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

NAMESPACE = "lth"
CALL_TIMEOUT_S = 5.0
LOOPBACK = "127.0.0.1"

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
    """Join the cluster.

    Args:
        address: `host:port` of its head.
        environ: Where the authentication mode is read for the log.

    Raises:
        ConnectionError: If there is no such cluster, or it refuses our token.
    """
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"_node_ip_address": LOOPBACK} if address.startswith(f"{LOOPBACK}:") else {}
    ray.init(
        address=address,
        namespace=NAMESPACE,
        log_to_driver=False,
        configure_logging=False,
        logging_level=logging.ERROR,
        **options,
    )
    logging.getLogger(__name__).info("joined %s, authentication %s", address, environ.get("RAY_AUTH_MODE", "off"))

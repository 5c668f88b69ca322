"""Machines that are about to go: a cloud takes them away, Kubernetes ends their pod, or an operator sends them home."""

from __future__ import annotations

import ray


def draining_nodes() -> frozenset[str]:
    """Ids of the nodes that finish what they hold and take nothing more; Ray names them nowhere but here."""
    return frozenset(ray._private.state.state.get_draining_nodes())

"""What the cluster is doing: engines, slots, what waits, and machines. The cluster itself is never asked."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.api import docs, schemas_cluster
from service.api.context import Reader
from service.api.responses import as_json

router = APIRouter(tags=["cluster"])


@router.get("/v1/cluster", response_model=schemas_cluster.Cluster, responses=docs.problems())
async def get_cluster(request: Request, caller: Reader) -> Response:
    """Show engines and slots, the caller's searches with their places in the queue, limits, and what happened lately.

    A cluster that nobody has heard of is an answer too: `reachable` is false, and `at` says when it was last seen.
    """
    return as_json(request, await caller.record.cluster(caller.tenant))


@router.get("/v1/cluster/nodes", response_model=schemas_cluster.NodeList, responses=docs.problems())
async def list_nodes(request: Request, caller: Reader) -> Response:
    """List the machines of the cluster with what their engines reserve."""
    return as_json(request, await caller.record.cluster_nodes())

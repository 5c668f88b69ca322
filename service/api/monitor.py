"""The `/metrics` listener; what only the record knows is asked for when it is scraped."""

from __future__ import annotations

from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.context import Services
from service.store.errors import RecordError
from service.store.index import EPOCH


def metrics_app(services: Services) -> Starlette:
    """Build the application of the metrics listener."""

    async def metrics(_: Request) -> Response:
        with suppress(RecordError):
            await _ask_record(services)
        return Response(services.metrics.render(), headers={"Content-Type": services.metrics.content_type})

    return Starlette(routes=[Route("/metrics", metrics)])


async def _ask_record(services: Services) -> None:
    """Note what is up, how many searches wait, and who leads."""
    record, gauges = services.record, services.metrics
    gauges.redis_up.set(record.vitals.redis_up)
    gauges.store_up.set(record.vitals.store_up)
    gauges.queue_depth.set(len(await record.queued()))
    async with record.index.guarded() as redis:
        gauges.leader_epoch.set(int(await redis.get(EPOCH) or 0))

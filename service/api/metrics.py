"""Prometheus metrics of the front; labels are route templates and states, never ids."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one application, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Histogram(
            "lth_http_request_duration_seconds",
            "Time from request to the last byte of the answer.",
            ("route", "method", "code"),
            buckets=_BUCKETS_S,
            registry=own,
        )
        self.unexpected = Counter("lth_http_unexpected", "Errors that no rule foresaw.", registry=own)
        self.sse_listeners = Gauge("lth_sse_listeners", "Open event streams.", registry=own)
        self.redis_up = Gauge("lth_redis_up", "Whether the index answers.", registry=own)
        self.store_up = Gauge("lth_store_up", "Whether the object store answers.", registry=own)
        self.queue_depth = Gauge("lth_queue_depth", "Searches that wait for a driver.", registry=own)
        self.leader_epoch = Gauge("lth_leader_epoch", "Epoch of the leading dispatcher.", registry=own)

    def observe(self, route: str, method: str, code: int, duration_s: float) -> None:
        """Record one answered request."""
        name = method if method in _METHODS else "OTHER"
        self.requests.labels(route, name, str(code)).observe(duration_s)

    def render(self) -> bytes:
        """Return the text exposition."""
        return generate_latest(self.registry)

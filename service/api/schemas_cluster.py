"""The shapes of answers about the cluster: engines, slots, machines, and the bounds that an operator sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from service.api import examples
from service.api.schemas import Shape, Time


class Bounds(Shape):
    """How many engines of one device class there may be; `max` null is no bound."""

    min: int
    max: int | None


class Scale(Shape):
    """The bounds of the engines that stand, and the record that set them; revision 0 while nobody has set any."""

    object: Literal["scale"]
    revision: int
    changed_at: Time | None
    cpu: Bounds
    cuda: Bounds


class Slots(Shape):
    """Levels that can be in training at once, those that are, and those of them that are the caller's."""

    total: int
    taken: int
    free: int
    own: int


class Waiting(Shape):
    """Levels that wait for an engine: the caller's, and those of all others together."""

    own: int
    others: int


class Engine(Shape):
    """One engine: what it trains on, where, and how full it is."""

    name: str
    device: Annotated[str, Field(description="cpu or cuda")]
    threads: int
    status: Annotated[str, Field(description="starting, ready or leaving: it takes no level any more")]
    waits_for_node: Annotated[bool, Field(description="No machine has room for it yet.")]
    node: str | None
    slots: Slots
    requested_at: Time
    ready_at: Time | None
    idle_since: Time | None


class ClusterSearch(Shape):
    """One of the caller's searches that have not ended; `eta` is null while no level of it has been measured."""

    id: str
    queue_position: Annotated[int | None, Field(description="From 0; null once it has a driver.")]
    levels_running: int
    levels_waiting: int
    eta: Time | None


class ClusterLimits(Shape):
    """What bounds the engines and who may use them; null is no limit."""

    engines: dict[str, Bounds]
    slots_per_engine: dict[str, int]
    cpus: float | None
    gpus: float | None
    running_lineages: Annotated[int, Field(description="Of one tenant at once.")]
    engine_idle_s: float


class ClusterEvent(Shape):
    """Something that changed what the cluster can train."""

    at: Time
    kind: Annotated[
        str,
        Field(description="engine_requested, engine_ready, engine_idle, engine_lost, node_joined or node_lost"),
    ]
    node: str
    engine: str | None
    device: str | None
    threads: int | None
    reason: str | None


class Cluster(Shape):
    """Engines, slots and what waits for them; empty but for limits and events while the cluster is not reachable."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.CLUSTER]})

    object: Literal["cluster"]
    reachable: Annotated[bool, Field(description="Whether its engine host has been heard of in the last seconds.")]
    at: Annotated[Time | None, Field(description="When it was last heard of; null if not within a day.")]
    slots: Slots
    waiting: Waiting
    engines: list[Engine]
    searches: list[ClusterSearch]
    limits: ClusterLimits | None
    events: list[ClusterEvent]


class Resource(Shape):
    """CPUs or GPUs of a machine, and those that its engines reserve."""

    total: float
    used: float


class Node(Shape):
    """One machine of the cluster; a lost one is shown for ten minutes."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.NODE]})

    id: str
    name: str
    address: str
    alive: bool
    since: Time
    lost_at: Time | None
    cpus: Resource
    gpus: Resource
    num_engines: int


class NodeList(Shape):
    """The machines of the cluster; none while it is not reachable."""

    object: Literal["nodes"]
    reachable: bool
    at: Time | None
    data: list[Node]

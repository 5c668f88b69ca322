"""What travels between a trial and an engine: names of blobs, never their bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

ErrorClass = Literal["infra", "resource", "user", "nonfinite", "cancelled", "upstream", "poison", "divergence"]


@dataclass(frozen=True)
class Order:
    """One level to be trained; the same level asked for twice is trained once.

    Attributes:
        tenant: Whose level it is.
        search: The search that asks.
        lineage_id: The lineage within that search.
        key: Key under which the level will lie: the dense key at level 0.
        level: Its number.
        spec: The lineage as JSON text.
        device: Class of device it must run on.
        threads: CPU threads it must run with.
        steps: Optimizer steps it will take.
        mask: Blob of the mask that the level is given, None where it is given none.
        rewind: Blob of W_k of the dense network, None for the dense network itself.
        dense_final: Blob of the dense network's final weights, where the mask follows from them.
        carried: Blob of the final weights of the level before, where training goes on from them.
        optimizer: Blob of the dense network's optimizer state at step k, where it is restored.
        attempt: Which start of the lineage asks, from 1.
        is_control: Whether it is a control's: chains, on which others wait, go before.
        priority: Of the search, when slots are short.
    """

    tenant: str
    search: str
    lineage_id: str
    key: str
    level: int
    spec: str
    device: Literal["cpu", "cuda"]
    threads: int
    steps: int
    mask: str | None = None
    rewind: str | None = None
    dense_final: str | None = None
    carried: str | None = None
    optimizer: str | None = None
    attempt: int = 1
    is_control: bool = False
    priority: Literal["low", "normal", "high"] = "normal"

    @property
    def job(self) -> tuple[str, str, int]:
        """What makes two orders the same work."""
        return self.tenant, self.key, self.level

    @property
    def engine_class(self) -> tuple[str, int]:
        """Which engines can take it."""
        return self.device, self.threads

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for the way through Ray."""
        return asdict(self)


@dataclass(frozen=True)
class Failure:
    """Why a level was not trained.

    Attributes:
        error_class: As in API.md, section 4.
        message: One sentence.
        blamed: Whether the level itself may be at fault, so that it counts towards `poison`.
        step: Optimizer steps done, if known.
    """

    error_class: ErrorClass
    message: str
    blamed: bool = True
    step: int | None = None


@dataclass(frozen=True)
class Trained:
    """A level that an engine has trained and stored, not committed yet.

    Attributes:
        core: The manifest's core without its place in the record.
        stored: References of the stored blobs by name.
        fingerprint: The environment in which it was trained.
        engine: Kind of the engine.
        node: Where it ran.
        started_at: RFC 3339, UTC.
        busy_s: Time the engine spent on it.
        resumed_at: Step at which it went on from another engine's checkpoint, None if it was trained in one go.
    """

    core: dict[str, Any]
    stored: dict[str, dict[str, Any]]
    fingerprint: dict[str, Any]
    engine: str
    node: str
    started_at: str
    busy_s: float
    resumed_at: int | None = None


@dataclass(frozen=True)
class Admission:
    """An order that an engine has begun to work on.

    Attributes:
        ticket: Name under which the outcome is collected.
        node: Where it runs.
        joined: Whether the level was in training already, for another search or an earlier driver.
    """

    ticket: str
    node: str
    joined: bool


Reply = Trained | Failure

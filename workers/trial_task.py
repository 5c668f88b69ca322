"""What a Tune trial is told: one lineage of one search, as one JSON text that Tune does not look into."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lth_core.expansion import LineageSpec, PlannedLineage


@dataclass(frozen=True)
class TrialTask:
    """One lineage to be carried on from its last committed level.

    Attributes:
        tenant: Whose search.
        search: The search.
        epoch: Fencing token of the leader.
        lineage: Lineage id.
        key: Lineage key.
        dense_key: Key of its level 0.
        source_key: For a control, key of the lineage whose masks it takes.
        spec: The lineage as JSON text.
        attempt: Which start of the lineage this is, from 1.
        priority: Of the search.
    """

    tenant: str
    search: str
    epoch: int
    lineage: str
    key: str
    dense_key: str
    source_key: str | None
    spec: str
    attempt: int
    priority: Literal["low", "normal", "high"] = "normal"

    def to_config(self) -> dict[str, str]:
        """As the configuration of a Tune trial."""
        return {"task": json.dumps(asdict(self))}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TrialTask:
        """Read it from the configuration of a Tune trial."""
        return cls(**json.loads(config["task"]))

    def plan(self) -> PlannedLineage:
        """The lineage as planned; its place in the grid is of no interest to a trial."""
        spec = LineageSpec.model_validate_json(self.spec)
        return PlannedLineage(spec, self.key, self.dense_key, 0, {}, self.source_key)

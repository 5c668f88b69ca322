"""What an analysis brings: definitions in words, results, and what was left out with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lth_core.expansion import PlannedLineage
from service.store.errors import ArtefactCorrupt
from workers.analyses.stored import NotStored


@dataclass
class Findings:
    """One analysis while it is made.

    Attributes:
        definitions: What every reported quantity means, by its name in the results.
        references: Where the definitions come from.
        results: Members of the document, by name.
        skipped: What was left out, and why.
        num_found: How many results there are.
    """

    definitions: Mapping[str, str]
    references: tuple[str, ...]
    results: dict[str, Any] = field(default_factory=dict)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    num_found: int = 0

    @contextmanager
    def attempt(self, **place: Any) -> Iterator[None]:
        """Count a result, or note that it is left out where stored bytes are missing or damaged."""
        try:
            yield
            self.num_found += 1
        except (NotStored, ArtefactCorrupt) as error:
            self.skipped.append({**place, "reason": str(error)})

    def checked(self) -> Findings:
        """Return these findings.

        Raises:
            ValueError: If nothing could be computed; the text is the reason of the first that was left out.
        """
        if self.num_found == 0:
            raise ValueError(self.skipped[0]["reason"] if self.skipped else "no level is committed yet")
        return self


def spread(values: Iterable[float | None]) -> dict[str, float | int] | None:
    """Return number, mean, minimum and maximum of the values that are defined, None if none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"n": len(known), "mean": math.fsum(known) / len(known), "min": min(known), "max": max(known)}


def place(lineage: PlannedLineage, level: int) -> dict[str, Any]:
    """Return how a result names the level it is about."""
    spec = lineage.spec
    own: dict[str, Any] = {"setting": lineage.setting_index, "replicate": spec.replicate, "level": level}
    return own if lineage.source_key is None else {**own, "treatment": spec.treatment, "repeat": spec.repeat}

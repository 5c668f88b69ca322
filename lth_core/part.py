"""What all parts of a specification share: immutable, strict records, whose scalars may be grids."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_INT = 2**53
"""Largest integer that every JSON reader keeps exactly."""

OpenFraction = Annotated[float, Field(gt=0, lt=1)]
FractionOrZero = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,120}$")]


class Part(BaseModel):
    """Base of every part: immutable, strict about types, closed to unknown fields and to NaN."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> dict[str, Any]:
        """Return the JSON form with every default left out, as keys and digests use it."""
        return self.model_dump(mode="json", exclude_defaults=True)


def is_grid_schema(schema: dict[str, Any]) -> bool:
    """Tell whether a JSON Schema is that of a grid."""
    return "grid" in schema.get("properties", {})


def _allow_grids(schema: dict[str, Any]) -> None:
    """Say in a part's JSON Schema that every scalar may be a grid of 1 to 64 distinct values."""
    for name, scalar in schema.get("properties", {}).items():
        if scalar.get("type") == "array" or any(is_grid_schema(choice) for choice in scalar.get("anyOf", ())):
            continue
        value = {k: v for k, v in scalar.items() if k not in ("default", "title")}
        values = {"type": "array", "items": value, "minItems": 1, "maxItems": 64, "uniqueItems": True}
        grid = {
            "type": "object",
            "properties": {"grid": values},
            "required": ["grid"],
            "additionalProperties": False,
        }
        known = {k: scalar[k] for k in ("default", "title") if k in scalar}
        schema["properties"][name] = {**known, "anyOf": [value, grid]}


class Gridded(Part):
    """Base of the parts whose scalars may be grids; the fields themselves hold one cell."""

    model_config = ConfigDict(json_schema_extra=_allow_grids)

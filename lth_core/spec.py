"""What a search is: the frozen specification a client posts, its grids, and its size counted without building it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from lth_core.canonical import digest_of
from lth_core.cells import SpecError, check_cell
from lth_core.grids import PARTS, Axis, lift, put_back
from lth_core.model_spec import ModelSpec
from lth_core.names import FROM_LEVEL_0, MethodName
from lth_core.part import MAX_INT, Part
from lth_core.parts import Budget, DatasetSpec, Prune, Resources, Rewind, Rule, Scheduler, Train
from lth_core.treatments import TicketInit, Treatment, TreatmentOrName

MAX_REPLICATES = 64


@dataclass(frozen=True)
class Setting:
    """One cell of the grid: the scalar parts, and the values that make it differ from its siblings."""

    index: int
    cell: dict[str, Any]
    train: Train
    prune: Prune
    rewind: Rewind


def _replicates(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MAX_REPLICATES:
            raise ValueError(f"must be >= 1 and <= {MAX_REPLICATES} (or a list of seeds), got {value}")
        return tuple(range(value))
    return value


Seed = Annotated[int, Field(ge=0, le=MAX_INT)]
Replicates = Annotated[
    tuple[Seed, ...],
    Field(strict=False, min_length=1, max_length=MAX_REPLICATES),
    BeforeValidator(_replicates, json_schema_input_type=Annotated[int, Field(ge=1, le=MAX_REPLICATES)] | list[Seed]),
]


class SearchSpec(Part):
    """The scientific question of a search; any scalar of `train`, `prune` and `rewind` may be a grid.

    The parts hold the first cell of the grid; `axes` has the others, `settings()` every cell.
    """

    model: ModelSpec
    dataset: DatasetSpec
    method: MethodName = "imp"
    train: Train = Train()
    prune: Prune = Prune()
    rewind: Rewind = Rewind()
    replicates: Replicates = (0, 1, 2)
    treatments: Annotated[tuple[TreatmentOrName, ...], Field(strict=False, max_length=16)] = (
        Treatment(name="random_reinit"),
    )
    keep: Literal["masks", "tickets", "all"] = "tickets"
    rule: Rule = Rule()
    scheduler: Scheduler = Scheduler()
    init: TicketInit | None = None
    _axes: tuple[Axis, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _lift_grids(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(raw, dict):
            return handler(raw)
        plain, axes = lift(raw)
        spec = handler(plain)
        spec._axes = axes
        return spec

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        if len(set(self.replicates)) != len(self.replicates):
            raise ValueError(f"replicates are distinct seeds, got {list(self.replicates)}")
        labels = [treatment.label for treatment in self.treatments]
        if len(set(labels)) != len(labels):
            raise ValueError(f"treatments are named once each (use repeats for more draws), got {labels}")
        return self

    @model_validator(mode="after")
    def _init_belongs_to_transfer(self) -> Self:
        if (self.init is None) == (self.method == "transfer"):
            raise ValueError("init names the ticket that is transferred: give it exactly with method transfer")
        return self

    @model_serializer(mode="wrap")
    def _with_grids(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return put_back(handler(self), self._axes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpec) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The scalars that take several values, in the order of the parts."""
        return self._axes

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON without defaults: equal questions have equal keys."""
        return digest_of(self.canonical())

    def canonical(self) -> dict[str, Any]:
        """Return the JSON form with every default left out, grids included."""
        parts = {name: getattr(self, name).canonical() for name in ("model", "dataset", *PARTS, "rule", "scheduler")}
        dumped = self.model_dump(mode="json", exclude_defaults=True)
        plain = {name: value for name, value in dumped.items() if name not in parts}
        plain.update({name: value for name, value in parts.items() if value})
        return put_back(plain, self._axes)

    @property
    def num_settings(self) -> int:
        """Cells of the grid, as a product of lengths."""
        return math.prod(len(axis.values) for axis in self._axes)

    @property
    def num_lineages(self) -> int:
        """Settings x replicates x (1 + draws of controls), counted without building any."""
        return self.num_settings * len(self.replicates) * (1 + self.num_control_draws)

    @property
    def num_control_draws(self) -> int:
        """Controls per ticket lineage, repeats included."""
        return sum(treatment.repeats for treatment in self.treatments)

    @property
    def num_levels(self) -> int:
        """Levels of all lineages: 0..L for each ticket lineage, 1..L for each control."""
        ladder = self.prune.levels
        from_dense = sum(treatment.repeats for treatment in self.treatments if treatment.name in FROM_LEVEL_0)
        per_replicate = (ladder + 1) + self.num_control_draws * ladder + from_dense
        return self.num_settings * len(self.replicates) * per_replicate

    def settings(self) -> Iterator[Setting]:
        """Yield every cell of the grid, the last axis varying fastest; call only after the quota check.

        Raises:
            SpecError: If a cell's parts do not fit together.
        """
        for index, values in enumerate(itertools.product(*(axis.values for axis in self._axes))):
            cell = {axis.name: value for axis, value in zip(self._axes, values, strict=True)}
            parts = {name: self._cell_part(name, cell) for name in PARTS}
            train, prune, rewind = parts["train"], parts["prune"], parts["rewind"]
            assert isinstance(train, Train)
            assert isinstance(prune, Prune)
            assert isinstance(rewind, Rewind)
            check_cell(train, prune, rewind, self.method)
            yield Setting(index, cell, train, prune, rewind)

    def check(self) -> None:
        """Refuse a specification whose cells do not fit; call only after the quota check.

        Raises:
            SpecError: At the first cell that does not fit, or for a grid over `prune.levels`.
        """
        if any(axis.name == "prune.levels" for axis in self._axes):
            raise SpecError("/prune/levels", "takes no grid: levels of one chain are shared, ask for the largest")
        check_treatments(self)
        for _ in self.settings():
            pass

    def _cell_part(self, part: str, cell: dict[str, Any]) -> Part:
        base: Part = getattr(self, part)
        own = {axis.field: cell[axis.name] for axis in self._axes if axis.part == part}
        return type(base).model_validate({**dict(base), **own}) if own else base


LABEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
LabelName = Annotated[str, Field(pattern=LABEL_NAME)]
LabelText = Annotated[str, Field(max_length=120)]
LABELS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "propertyNames": {"pattern": LABEL_NAME},
    "additionalProperties": {"type": "string", "maxLength": 120},
    "maxProperties": 16,
    "default": {},
}


def check_treatments(spec: SearchSpec) -> None:
    """Refuse treatments that mean nothing for a method, or need what is not kept.

    Raises:
        SpecError: Naming the treatment.
    """
    for i, treatment in enumerate(spec.treatments):
        pointer = f"/treatments/{i}"
        if treatment.name == "reset" and spec.rewind.mode == "weights" and spec.method != "gradual":
            raise SpecError(
                pointer, "reset is the ticket itself here; it belongs to rewind.mode lr or fine_tune, or gradual"
            )
        if treatment.name == "reordered" and spec.keep != "all":
            raise SpecError(pointer, f"reordered compares final weights: keep must be 'all', got {spec.keep!r}")
        if treatment.name == "invert_scores" and spec.method == "transfer":
            raise SpecError(
                pointer, "invert_scores needs the scores that found the mask; a transferred ticket has none"
            )


class Submission(Part):
    """The body of a POST: the specification, and what the service needs to know beside it."""

    name: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    labels: Annotated[dict[LabelName, LabelText], Field(max_length=16), WithJsonSchema(LABELS_SCHEMA)] = {}
    note: Annotated[str, Field(max_length=4000)] = ""
    priority: Literal["low", "normal", "high"] = "normal"
    spec: SearchSpec
    budget: Budget = Budget()
    resources: Resources = Resources()

    @property
    def title(self) -> str:
        """The given name, or model and data set."""
        return self.name or f"{self.spec.model.name}-{self.spec.dataset.name}"

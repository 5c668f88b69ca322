"""Grids: lifting `{"grid": [...]}` out of a specification's scalars, and putting it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from lth_core.part import Part
from lth_core.parts import Prune, Rewind, Train

MAX_GRID_VALUES = 64
PARTS: dict[str, type[Part]] = {"train": Train, "prune": Prune, "rewind": Rewind}


@dataclass(frozen=True)
class Axis:
    """One scalar of a part that takes several values, in the order they were given."""

    part: str
    field: str
    values: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Return the dotted name that settings use, such as `prune.fraction`."""
        return f"{self.part}.{self.field}"


def is_grid(value: Any) -> bool:
    """Tell whether a JSON value is a grid object."""
    return isinstance(value, Mapping) and set(value) == {"grid"}


def lift(raw: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Axis, ...]]:
    """Replace every grid of a raw specification by its first value and return the axes beside it.

    Args:
        raw: The specification as sent; parts that are no objects are left for the parts' own errors.

    Raises:
        ValidationError: If a grid is empty, too long, repeats a value or holds a value its field refuses.
    """
    plain = dict(raw)
    axes: list[Axis] = []
    errors: list[InitErrorDetails] = []
    for part, cls in PARTS.items():
        given = raw.get(part)
        if not isinstance(given, Mapping):
            continue
        plain[part] = dict(given)
        for field, value in given.items():
            if not is_grid(value) or field not in cls.model_fields:
                continue
            problems = list(_problems(cls, part, field, value["grid"]))
            errors.extend(problems)
            if not problems:
                plain[part][field] = value["grid"][0]
                axes.append(Axis(part, field, tuple(value["grid"])))
    if errors:
        raise ValidationError.from_exception_data("SearchSpec", errors)
    return plain, tuple(axes)


def put_back(plain: dict[str, Any], axes: Iterable[Axis]) -> dict[str, Any]:
    """Return a dumped specification with its axes written as grids again."""
    for axis in axes:
        plain.setdefault(axis.part, {})[axis.field] = {"grid": list(axis.values)}
    return plain


def _problems(cls: type[Part], part: str, field: str, values: Any) -> Iterable[InitErrorDetails]:
    """Yield what is wrong with one grid, each with its location."""
    loc: tuple[int | str, ...] = (part, field, "grid")
    if not _is_scalar(cls, field):
        yield _error("not_scalar", "takes no grid: it is a list", loc[:-1], None)
        return
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_GRID_VALUES:
        size = len(values) if isinstance(values, list) else None
        yield _error("grid_length", f"a grid is a list of 1 to {MAX_GRID_VALUES} values, got {size}", loc, size)
        return
    seen: set[tuple[str, str]] = set()
    for i, value in enumerate(values):
        try:
            made = getattr(cls.model_validate({field: value}), field)
        except ValidationError as error:
            for line in error.errors():
                details = InitErrorDetails(
                    type=PydanticCustomError(
                        line["type"], "{message}", {**line.get("ctx", {}), "message": line["msg"]}
                    ),
                    loc=(*loc, i),
                    input=line["input"],
                )
                yield details
            continue
        if (mark := (type(made).__name__, repr(made))) in seen:
            yield _error("grid_repeats", f"grid values are distinct, got {made!r} twice", (*loc, i), value)
        seen.add(mark)


def _is_scalar(cls: type[Part], field: str) -> bool:
    return not isinstance(cls.model_fields[field].get_default(), tuple)


def _error(kind: str, message: str, loc: tuple[int | str, ...], value: Any) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, "{message}", {"message": message}), loc=loc, input=value)

"""From pydantic's errors to problem details: a JSON pointer, the bound and the value, never the raw input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service.api.errors import ApiError

M = TypeVar("M", bound=BaseModel)

MAX_ERRORS = 20
MAX_SHOWN_CHARS = 60

_RULES: dict[str, str] = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "literal_error": "must be {expected}",
    "finite_number": "must be finite",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}


def _plain(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def pointer(path: Iterable[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path of member names and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def shown(value: Any) -> str:
    """Return a value as a problem may show it: scalars and short texts as JSON, anything else by its kind."""
    if isinstance(value, str):
        return json.dumps(value) if len(value) <= MAX_SHOWN_CHARS else f"a text of {len(value)} characters"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}"
    return type(value).__name__


def describe(line: ErrorDetails) -> str:
    """Return one sentence for one pydantic error: the bound and the value."""
    kind, ctx, value = line["type"], line.get("ctx", {}), line.get("input")
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "is not a known member"
    if kind == "value_error":
        return str(ctx.get("error", line["msg"]))
    if (rule := _RULES.get(kind)) is None:
        return line["msg"]
    bounds = {name: _plain(bound) for name, bound in ctx.items()}
    return f"{rule.format(**bounds)}, got {shown(value)}"


def refuse(code: str, errors: Sequence[Mapping[str, str]]) -> ApiError:
    """Return the problem for a list of `{"pointer", "detail"}` objects; the first one makes the summary."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ApiError(code, f"{first['pointer'] or '/'} {first['detail']}{more}", errors=errors[:MAX_ERRORS])


def validate(model: type[M], body: Any, code: str = "invalid_spec") -> M:
    """Validate a parsed JSON body.

    Raises:
        ApiError: `code`, with one pointer per offending member.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        lines = error.errors(include_url=False)
        errors = [{"pointer": pointer(line["loc"]), "detail": describe(line)} for line in lines]
    raise refuse(code, errors)


def parameter_problem(error: RequestValidationError) -> ApiError:
    """Return the problem for query parameters and headers that the framework refused."""
    errors: list[dict[str, str]] = []
    code = "bad_header"
    for line in error.errors():
        where, *name = line["loc"]
        code = "bad_filter" if where != "header" else code
        errors.append({"pointer": ".".join(map(str, name)), "detail": describe(line)})
    return refuse(code, errors)

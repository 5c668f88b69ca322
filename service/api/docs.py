"""What the OpenAPI document says beyond the routes themselves: problems, bodies and security."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from lth_core.part import is_grid_schema
from lth_core.parts import Prune
from lth_core.spec import Submission
from service.api import examples
from service.api.errors import PROBLEMS
from service.api.schemas import Problem

COMMON = (401, 403, 404, 405, 406, 413, 422, 429, 500, 502, 503)
"""Statuses that any route may answer with."""
BODY = (400, 415)
"""Statuses of routes that read a body."""
_REF = "#/components/schemas/{model}"


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route: the common refusals, and these."""
    return {status: _problem_answer(status) for status in sorted({*COMMON, *statuses})}


def also(status: int, description: str, **rest: Any) -> dict[int | str, dict[str, Any]]:
    """Return one more documented answer that is no problem."""
    return {status: {"description": description, **rest}}


def body(schema: str, example: Any, *, required: bool = True, **more: Any) -> dict[str, Any]:
    """Return the `openapi_extra` that documents a JSON request body, read strictly by the route itself."""
    shown = {"example": {"value": example}, **{name: {"value": value} for name, value in more.items()}}
    content = {"application/json": {"schema": {"$ref": _REF.format(model=schema)}, "examples": shown}}
    return {"requestBody": {"required": required, "content": content}}


def binary(description: str, media_types: Sequence[str]) -> dict[str, Any]:
    """Return the documentation of a file in one of several media types; JSON is an object, all else is binary."""
    headers = {
        "ETag": {"schema": {"type": "string"}, "description": 'Strong, `"sha256-..."` of these bytes.'},
        "Repr-Digest": {"schema": {"type": "string"}, "description": "RFC 9530."},
    }
    content = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}
    content |= {name: {"schema": {"type": "object"}} for name in media_types if name == "application/json"}
    return {"description": description, "content": content, "headers": headers}


def _problem_answer(status: int) -> dict[str, Any]:
    codes = [code for code, kind in PROBLEMS.items() if kind.status == status]
    headers: dict[str, Any] = {}
    if status in (429, 503):
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds."}
    if status == 405:
        headers["Allow"] = {"schema": {"type": "string"}}
    answer: dict[str, Any] = {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
    return {**answer, "headers": headers} if headers else answer


def document(app: FastAPI, bodies: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """Build the OpenAPI 3.1 document.

    Args:
        app: The application with all its routes.
        bodies: Models of the request bodies that routes read strictly by themselves.
    """
    built = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        license_info=app.license_info,
    )
    components = built.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    models: list[type[BaseModel]] = [Problem, *bodies]
    for model in models:
        own = model.model_json_schema(ref_template=_REF)
        schemas.update(own.pop("$defs", {}))
        schemas[model.__name__] = own
    if "Submission" in schemas:
        _forbid_grid_of_levels(schemas)
        schemas[Submission.__name__]["examples"] = [examples.SUBMISSION, examples.GRID_SUBMISSION]
    components["securitySchemes"] = {
        "apiKey": {"type": "http", "scheme": "bearer", "description": "`lth_<id>_<secret>`; not needed on loopback."}
    }
    for path, operations in built["paths"].items():
        for operation in operations.values():
            operation["security"] = [{"apiKey": []}] if "/v1/" in path else []
            if not operation["security"]:
                operation["responses"].pop("401", None)
    return built


def _forbid_grid_of_levels(schemas: dict[str, Any]) -> None:
    """Say in the schema of pruning that the number of levels, of all its scalars, takes no grid."""
    levels = schemas[Prune.__name__]["properties"]["levels"]
    choices = levels.pop("anyOf", [])
    levels.update(next((choice for choice in choices if not is_grid_schema(choice)), {}))

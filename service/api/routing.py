"""Routes of files: each answers GET and HEAD, whole, by ranges or not at all if the client has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, Response

from service.api import docs

RANGED = {
    **docs.also(206, "The range of the bytes that was asked for."),
    **docs.also(304, "The client has these bytes already."),
}
"""What a file may be answered with beside the whole of it."""

Responses = dict[int | str, dict[str, Any]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Response]])


def answers(description: str, media_types: Sequence[str]) -> Responses:
    """Return the documented answers of a route that sends a file in one of several media types."""
    file = docs.binary(description, media_types)
    return {200: file, **RANGED, 206: docs.binary("One range of it.", media_types), **docs.problems(416)}


def get_and_head(router: APIRouter, path: str, responses: Responses) -> Callable[[Endpoint], Endpoint]:
    """Register an endpoint for GET and, as the framework does not do it by itself, for HEAD.

    Args:
        router: Where it belongs.
        path: Its path.
        responses: Its documented answers.
    """

    def register(endpoint: Endpoint) -> Endpoint:
        name = endpoint.__name__
        for method in ("GET", "HEAD"):
            router.add_api_route(
                path,
                endpoint,
                methods=[method],
                operation_id=name if method == "GET" else f"{name}_head",
                response_class=Response,
                responses=responses,
            )
        return endpoint

    return register

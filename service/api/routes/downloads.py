"""Downloads of a ticket: mask in five forms, rewind and final weights, manifest; each byte-stable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query, Request, Response

from service.api import docs, params
from service.api.context import Caller, Reader
from service.api.errors import ApiError
from service.api.mask_formats import EXTENSIONS, MEDIA_TYPES, WORKER_FORMATS, as_npz, as_safetensors, unpack
from service.api.negotiation import choose
from service.api.responses import as_file, as_json, encode

EXPORT_WAIT_S = 30.0
EXPORT_POLL_S = 0.25
EXPORT_RETRY_S = 5
SAFETENSORS = MEDIA_TYPES["safetensors"]
router = APIRouter(tags=["downloads"])
Form = Annotated[
    Literal["safetensors", "packed", "npz", "torch_prune", "open_lth"] | None,
    Query(description="Form of the mask; wins over `Accept`."),
]
_RANGED = {
    **docs.also(206, "The range of the bytes that was asked for."),
    **docs.also(304, "The client has these bytes already."),
}


Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Response]])


def _answers(description: str, media_types: list[str]) -> dict[int | str, dict[str, Any]]:
    file = docs.binary(description, media_types)
    return {200: file, **_RANGED, 206: docs.binary("One range of it.", media_types), **docs.problems(416)}


def _get_and_head(path: str, responses: dict[int | str, dict[str, Any]]) -> Callable[[Endpoint], Endpoint]:
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


@_get_and_head(
    "/v1/tickets/{ticket_id}/mask",
    {
        **_answers("The mask.", list(MEDIA_TYPES.values())),
        **docs.problems(409, 416),
        202: {
            "description": "A worker is making this form; ask again after `Retry-After` seconds.",
            "content": {"application/json": {"schema": {"type": "object"}}},
            "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        },
    },
)
async def get_mask(
    request: Request,
    caller: Reader,
    ticket_id: params.TicketId,
    conditions: params.Conditional,
    format: Form = None,  # noqa: A002
) -> Response:
    """Download a ticket's mask in the form of `format`, or of `Accept`."""
    form = format or _form_of(choose(request.headers.get("accept"), tuple(MEDIA_TYPES.values())))
    if form in WORKER_FORMATS:
        data = await _export(request, caller, ticket_id, form)
        if data is None:
            headers = {"Retry-After": str(EXPORT_RETRY_S)}
            answer = {"object": "export", "ticket": ticket_id, "format": form, "status": "queued"}
            return as_json(request, answer, 202, headers=headers, chosen=True)
    else:
        data = await _mask(caller, ticket_id, form)
    return as_file(request, conditions, data, media_type=MEDIA_TYPES[form], filename=f"{ticket_id}.{EXTENSIONS[form]}")


@_get_and_head("/v1/tickets/{ticket_id}/rewind", _answers("The weights to rewind to.", [SAFETENSORS]))
async def get_rewind(
    request: Request,
    caller: Reader,
    ticket_id: params.TicketId,
    conditions: params.Conditional,
) -> Response:
    """Download the weights that the ticket is rewound to, as safetensors."""
    return await _weights(request, caller, ticket_id, "rewind", conditions)


@_get_and_head("/v1/tickets/{ticket_id}/final", _answers("The trained weights.", [SAFETENSORS]))
async def get_final(
    request: Request,
    caller: Reader,
    ticket_id: params.TicketId,
    conditions: params.Conditional,
) -> Response:
    """Download the weights at the end of the ticket's own training, as safetensors, where they were kept."""
    return await _weights(request, caller, ticket_id, "final", conditions)


@_get_and_head(
    "/v1/tickets/{ticket_id}/manifest",
    {
        200: {"description": "The manifest.", "content": {"application/json": {"schema": {"type": "object"}}}},
        **_RANGED,
        **docs.problems(416),
    },
)
async def get_manifest(
    request: Request,
    caller: Reader,
    ticket_id: params.TicketId,
    conditions: params.Conditional,
) -> Response:
    """Download the level's manifest: digests, exact counts, metrics, seeds, fingerprint."""
    choose(request.headers.get("accept"), ("application/json",))
    manifest = await caller.record.ticket_manifest(caller.tenant, ticket_id)
    name = f"{ticket_id}.json"
    return as_file(request, conditions, encode(manifest), media_type="application/json", filename=name)


def _form_of(media_type: str) -> str:
    return next(form for form, own in MEDIA_TYPES.items() if own == media_type)


async def _mask(caller: Caller, ticket_id: str, form: str) -> bytes:
    blob, packed = await caller.record.ticket_blob(caller.tenant, ticket_id, "mask")
    if form == "packed":
        return packed
    manifest = await caller.record.ticket_manifest(caller.tenant, ticket_id)
    try:
        masks = unpack(packed, manifest["core"]["layers"])
    except ValueError as error:
        raise ApiError("artefact_corrupt", "the stored mask does not fit its manifest; it is not served") from error
    return as_npz(masks) if form == "npz" else as_safetensors(masks, blob.sha256)


async def _weights(
    request: Request,
    caller: Caller,
    ticket_id: str,
    part: Literal["rewind", "final"],
    conditions: params.Conditions,
) -> Response:
    choose(request.headers.get("accept"), (SAFETENSORS,))
    _, data = await caller.record.ticket_blob(caller.tenant, ticket_id, part)
    return as_file(request, conditions, data, media_type=SAFETENSORS, filename=f"{ticket_id}.{part}.safetensors")


async def _export(request: Request, caller: Caller, ticket_id: str, form: str) -> bytes | None:
    """Return an export that a worker has made, waiting a while for it; None while it is being made."""
    deadline = time.monotonic() + (EXPORT_WAIT_S if request.method == "GET" else 0.0)
    while True:
        blob = await caller.record.request_export(caller.tenant, ticket_id, form)
        if blob is not None:
            return await caller.record.blob(caller.tenant, blob.sha256)
        stopping = caller.services.draining.is_set() or await request.is_disconnected()
        if stopping or time.monotonic() >= deadline:
            return None
        await asyncio.sleep(EXPORT_POLL_S)

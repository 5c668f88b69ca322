"""Downloads of a ticket: mask in five forms, rewind and final weights, manifest; each byte-stable."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from service.api import derived, docs, params
from service.api.context import Caller, Reader
from service.api.errors import ApiError
from service.api.mask_formats import EXTENSIONS, MEDIA_TYPES, WORKER_FORMATS, as_npz, as_safetensors, unpack
from service.api.negotiation import choose
from service.api.responses import as_file, encode
from service.api.routing import RANGED, answers, get_and_head

SAFETENSORS = MEDIA_TYPES["safetensors"]
router = APIRouter(tags=["downloads"])
Form = Annotated[
    Literal["safetensors", "packed", "npz", "torch_prune", "open_lth"] | None,
    Query(description="Form of the mask; wins over `Accept`."),
]


@get_and_head(
    router,
    "/v1/tickets/{ticket_id}/mask",
    {**answers("The mask.", list(MEDIA_TYPES.values())), **derived.LATER},
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
        made = await derived.wait_for(request, caller, ticket_id, "export", form)
        if made is None:
            return derived.later(request, ticket_id, "export", form)
        data = made.data
    else:
        data = await _mask(caller, ticket_id, form)
    return as_file(request, conditions, data, media_type=MEDIA_TYPES[form], filename=f"{ticket_id}.{EXTENSIONS[form]}")


@get_and_head(router, "/v1/tickets/{ticket_id}/rewind", answers("The weights to rewind to.", [SAFETENSORS]))
async def get_rewind(
    request: Request,
    caller: Reader,
    ticket_id: params.TicketId,
    conditions: params.Conditional,
) -> Response:
    """Download the weights that the ticket is rewound to, as safetensors."""
    return await _weights(request, caller, ticket_id, "rewind", conditions)


@get_and_head(router, "/v1/tickets/{ticket_id}/final", answers("The trained weights.", [SAFETENSORS]))
async def get_final(
    request: Request,
    caller: Reader,
    ticket_id: params.TicketId,
    conditions: params.Conditional,
) -> Response:
    """Download the weights at the end of the ticket's own training, as safetensors, where they were kept."""
    return await _weights(request, caller, ticket_id, "final", conditions)


@get_and_head(
    router,
    "/v1/tickets/{ticket_id}/manifest",
    {
        200: {"description": "The manifest.", "content": {"application/json": {"schema": {"type": "object"}}}},
        **RANGED,
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

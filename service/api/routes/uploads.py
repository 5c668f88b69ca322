"""Uploaded tickets: take them, list them, look at one; they are compared and transferred like tickets found here."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.api import cursors, docs, params, schemas
from service.api.context import Reader, Writer
from service.api.responses import as_json, as_page
from service.api.uploading import PARTS, read_ticket

router = APIRouter(tags=["uploads"])
_FILE = {"type": "string", "format": "binary"}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": list(PARTS),
                    "additionalProperties": False,
                    "properties": {
                        "manifest": {"$ref": "#/components/schemas/UploadManifest"},
                        "mask": {**_FILE, "description": "Packed bits, safetensors (U8) or npz (bool)."},
                        "rewind": {**_FILE, "description": "Float32 weights as safetensors or npz."},
                    },
                },
                "encoding": {"manifest": {"contentType": "application/json"}},
            }
        },
    }
}


@router.post(
    "/v1/tickets",
    status_code=201,
    response_model=schemas.Upload,
    openapi_extra=_FORM,
    responses={
        200: {"description": "This ticket was uploaded before.", "model": schemas.Upload},
        **docs.problems(*docs.BODY),
    },
)
async def upload_ticket(request: Request, caller: Writer) -> Response:
    """Upload a ticket found elsewhere: its network, its mask and the weights to rewind to, read without pickle."""
    services = caller.services
    ticket = await read_ticket(
        request, max_bytes=services.settings.quota_upload_bytes, one_at_a_time=services.uploading
    )
    document, created = await caller.record.put_upload(caller.tenant, ticket)
    headers = {"Location": f"/v1/uploads/{document['id']}"}
    return as_json(request, document, 201 if created else 200, headers=headers)


@router.get("/v1/uploads", response_model=schemas.UploadPage, responses=docs.problems())
async def list_uploads(
    request: Request, caller: Reader, limit: params.Limit = 50, after: params.After = None
) -> Response:
    """List uploaded tickets, newest first."""
    page = await caller.record.uploads(caller.tenant, limit=limit, after=cursors.decode("uploads", after))
    next_after = page.next_after and cursors.encode("uploads", page.next_after)
    return as_page(request, page.data, next_after)


@router.get("/v1/uploads/{upload_id}", response_model=schemas.Upload, responses=docs.problems())
async def get_upload(request: Request, caller: Reader, upload_id: params.UploadId) -> Response:
    """Show an uploaded ticket: its network, exact counts and digests."""
    return as_json(request, await caller.record.upload(caller.tenant, upload_id))

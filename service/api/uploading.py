"""Reading an upload: three parts of a form, of which the manifest says what the other two must be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from lth_core.architecture import TensorSpec, architecture
from lth_core.masks import Mask, kept_per_layer
from lth_core.model_spec import ModelSpec
from service.api.errors import ApiError
from service.api.strict_json import parse_json
from service.api.ticket_files import read_mask, read_rewind
from service.api.validation import refuse, validate
from service.store.uploads import UploadedTicket

PARTS = ("manifest", "mask", "rewind")
T = TypeVar("T")
Size = Annotated[int, Field(ge=1, le=1_000_000)]


class UploadLayer(BaseModel):
    """What the client says of one prunable tensor; all of it is checked against the network and the mask."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: Annotated[str, Field(max_length=120)]
    shape: Annotated[tuple[Size, ...], Field(strict=False, max_length=8)]
    kept: Annotated[int, Field(ge=0, le=2**53)]
    total: Annotated[int, Field(ge=0, le=2**53)] | None = None
    kind: Annotated[str, Field(max_length=20)] | None = None


class UploadManifest(BaseModel):
    """What a ticket belongs to: its network, the shape of one example (channels first), the number of classes.

    `layers` may say again what the mask keeps of each prunable tensor, in state_dict order; then it must be so.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal[1] = 1
    model: ModelSpec
    in_shape: Annotated[tuple[Size, ...], Field(strict=False, min_length=1, max_length=3)]
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)]
    layers: Annotated[tuple[UploadLayer, ...], Field(strict=False, max_length=10_000)] | None = None


@dataclass(frozen=True)
class Part:
    """One part of the form: its bytes, and what the client calls them."""

    data: bytes
    media_type: str | None = None


async def read_ticket(request: Request, *, max_bytes: int, one_at_a_time: asyncio.Semaphore) -> UploadedTicket:
    """Read a ticket out of a multipart form.

    Args:
        request: The request.
        max_bytes: How large the weights may be.
        one_at_a_time: Bounds the memory that uploads take together.

    Raises:
        ApiError: `unsupported_media_type`, `bad_request` if the form cannot be read, or `bad_upload`, naming the part.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise ApiError("unsupported_media_type", "the body must be multipart/form-data")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError("unsupported_media_type", "the body must not be compressed")
    async with request.form(max_files=len(PARTS), max_fields=len(PARTS)) as form:
        given = form.multi_items()
        for name, _ in given:
            if name not in PARTS:
                raise _refusal(name[:60], f"is not a known part; there are {', '.join(PARTS)}")
        if len(given) != len(set(dict(given))):
            raise _refusal("", "has a part twice")
        for name in PARTS:
            if name not in form:
                raise _refusal(name, "is required")
        async with one_at_a_time:
            parts = {name: await _read(value) for name, value in given}
            return await asyncio.to_thread(_check, parts, max_bytes)


async def _read(value: UploadFile | str) -> Part:
    if isinstance(value, str):
        return Part(value.encode("utf-8", "surrogateescape"))
    return Part(await value.read(), value.content_type)


def _check(parts: dict[str, Part], max_bytes: int) -> UploadedTicket:
    manifest = _manifest(parts["manifest"].data)
    tensors = _at("manifest/model", lambda: architecture(manifest.model, manifest.in_shape, manifest.num_classes))
    size_bytes = 4 * sum(tensor.size for tensor in tensors)
    if size_bytes > max_bytes:
        raise _refusal("manifest/model", f"has weights of {size_bytes} bytes; at most {max_bytes} are taken")
    mask = _at("mask", lambda: read_mask(parts["mask"].data, parts["mask"].media_type, tensors))
    rewind = _at("rewind", lambda: read_rewind(parts["rewind"].data, parts["rewind"].media_type, tensors))
    if manifest.layers is not None:
        _check_layers(manifest.layers, tensors, mask)
    return UploadedTicket(manifest.model, manifest.in_shape, manifest.num_classes, mask, rewind)


def _manifest(data: bytes) -> UploadManifest:
    try:
        body = parse_json(data)
    except ApiError as error:
        raise _refusal("manifest", error.detail) from None
    try:
        return validate(UploadManifest, body, "bad_upload")
    except ApiError as error:
        errors = [{**line, "pointer": f"/manifest{line['pointer']}"} for line in error.errors]
        raise refuse("bad_upload", errors) from None


def _check_layers(layers: tuple[UploadLayer, ...], tensors: tuple[TensorSpec, ...], mask: Mask) -> None:
    kept = kept_per_layer(mask)
    found: list[dict[str, Any]] = [
        {"name": own.name, "shape": own.shape, "kept": kept[own.name], "total": own.size, "kind": own.kind}
        for own in tensors
        if own.prunable
    ]
    if len(layers) != len(found):
        raise _refusal("manifest/layers", f"must name the {len(found)} prunable tensors, got {len(layers)}")
    for i, (said, own) in enumerate(zip(layers, found, strict=True)):
        for field, value in said.model_dump(exclude_none=True).items():
            if value != own[field]:
                raise _refusal(f"manifest/layers/{i}/{field}", f"is {own[field]} in network and mask")


def _at(part: str, check: Callable[[], T]) -> T:
    """Run a check of one part.

    Raises:
        ApiError: `bad_upload`, naming the part.
    """
    try:
        return check()
    except ValueError as error:
        raise _refusal(part, str(error)) from None


def _refusal(part: str, detail: str) -> ApiError:
    return refuse("bad_upload", [{"pointer": f"/{part}", "detail": detail}])

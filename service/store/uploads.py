"""Uploaded tickets: named by their content, stored once; and where a transferred ticket comes from."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from lth_core.architecture import architecture
from lth_core.canonical import FORMAT, canonical_json, digest_of, sha256_hex
from lth_core.cells import SpecError
from lth_core.keys import upload_id
from lth_core.masks import Mask, is_collapsed, kept_per_layer, pack_mask
from lth_core.model_spec import ModelSpec
from lth_core.treatments import Origin, TicketInit
from lth_core.weights import Weights, content_digest, to_safetensors
from service.store import clock, keys
from service.store.documents import Document, Page
from service.store.errors import BadCursor, NotFound, ObjectNotFound, UnknownFormat, UnknownTicket, UnknownUpload
from service.store.tickets import Tickets

MAX_CACHED_UPLOADS = 1024


@dataclass(frozen=True)
class UploadedTicket:
    """A ticket as a client sent it, checked against the tensors of its network.

    Attributes:
        model: The network it belongs to.
        in_shape: Shape of one example, channels first.
        num_classes: Size of the output layer.
        mask: What is kept, by prunable tensor.
        rewind: The weights to rewind to, by tensor.
    """

    model: ModelSpec
    in_shape: tuple[int, ...]
    num_classes: int
    mask: Mask
    rewind: Weights


class Uploads(Tickets):
    """The part of the record that holds tickets found elsewhere."""

    _uploads: OrderedDict[str, dict[str, Any]]

    async def put_upload(self, tenant: str, ticket: UploadedTicket) -> tuple[Document, bool]:
        """Store a ticket under the name that its content gives it.

        Returns:
            The upload, and whether it was stored now; the same content again changes nothing.

        Raises:
            StoreUnavailable: If it is unknown whether it was stored; repeat it.
        """
        record, mask, rewind = await asyncio.to_thread(_encode, tenant, ticket)
        await self.objects.put_blob(tenant, mask)
        await self.objects.put_blob(tenant, rewind)
        key = keys.upload(tenant, record["id"])
        standing, ours = await self.objects.put_if_absent(key, canonical_json(record))
        return Document(_shown(json.loads(standing))), ours

    async def upload(self, tenant: str, name: str) -> Document:
        """Return one upload.

        Raises:
            NotFound: If the tenant has none of this id.
            StoreUnavailable: If the store does not answer.
        """
        return Document(_shown(await self._upload(tenant, name)))

    async def uploads(self, tenant: str, *, limit: int, after: str | None = None) -> Page:
        """List a tenant's uploads, newest first; `after` is the id of the last one of the page before.

        Raises:
            BadCursor: If `after` is no upload of this list.
            StoreUnavailable: If the store does not answer.
        """
        prefix = keys.uploads(tenant)
        names = [key.removeprefix(prefix).removesuffix(".json") for key in await self.objects.list(prefix)]
        found = await asyncio.gather(*(self._upload(tenant, name) for name in names))
        found.sort(key=lambda record: (record["uploaded_at"], record["id"]), reverse=True)
        if after is not None:
            places = [place for place, record in enumerate(found) if record["id"] == after]
            if not places:
                raise BadCursor("the cursor is no position in this list")
            found = found[places[0] + 1 :]
        shown = [Document(_shown(record)) for record in found[:limit]]
        return Page(list(shown), shown[-1]["id"] if len(found) > limit else None)

    async def origin(self, tenant: str, init: TicketInit | None) -> Origin | None:
        """Resolve where a transferred ticket comes from to the digests of stored bytes.

        Raises:
            UnknownTicket: If the tenant has no such ticket.
            UnknownUpload: If the tenant has no such upload.
            SpecError: If the ticket's weights to rewind to were not kept.
        """
        if init is None:
            return None
        if init.upload is not None:
            return await self._origin_of_upload(tenant, init.upload)
        assert init.ticket is not None
        try:
            found = await self.found_ticket(tenant, init.ticket)
        except NotFound:
            raise UnknownTicket(init.ticket) from None
        if found.summary["rewind_sha256"] is None:
            keep = found.facts.plan.accepted.submission.spec.keep
            detail = f"must be a ticket whose weights to rewind to are kept; its search keeps {keep!r}"
            raise SpecError("/init/ticket", detail)
        spec = found.lineage.spec
        digests = {"mask_sha256": found.summary["mask_sha256"], "rewind_sha256": found.summary["rewind_sha256"]}
        return Origin(model=spec.model, in_shape=spec.in_shape, num_classes=spec.num_classes, **digests)

    async def _origin_of_upload(self, tenant: str, name: str) -> Origin:
        try:
            record = await self._upload(tenant, name)
        except NotFound:
            raise UnknownUpload(name) from None
        return Origin.model_validate({field: record[field] for field in Origin.model_fields})

    async def _upload(self, tenant: str, name: str) -> dict[str, Any]:
        if not keys.is_upload_id(name):
            raise NotFound("there is no such upload")
        key = keys.upload(tenant, name)
        if key not in self._uploads:
            try:
                record = json.loads(await self.objects.get(key))
            except ObjectNotFound:
                raise NotFound("there is no such upload") from None
            if record.get("format") != FORMAT:
                raise UnknownFormat(f"upload has format {record.get('format')!r}, known is {FORMAT}")
            self._uploads[key] = record
            while len(self._uploads) > MAX_CACHED_UPLOADS:
                self._uploads.popitem(last=False)
        return self._uploads[key]


def _encode(tenant: str, ticket: UploadedTicket) -> tuple[dict[str, Any], bytes, bytes]:
    """Return the record of a ticket, and the bytes of its mask and weights as they are stored."""
    tensors = architecture(ticket.model, ticket.in_shape, ticket.num_classes)
    mask, rewind = pack_mask(ticket.mask, tensors), to_safetensors(ticket.rewind)
    network = {
        "model": ticket.model.canonical(),
        "in_shape": list(ticket.in_shape),
        "num_classes": ticket.num_classes,
    }
    content = {"tenant": tenant, **network, "mask": sha256_hex(mask), "rewind": content_digest(ticket.rewind)}
    kept = kept_per_layer(ticket.mask)
    layers = [
        {"name": own.name, "shape": list(own.shape), "kind": own.kind, "kept": kept[own.name], "total": own.size}
        for own in tensors
        if own.prunable
    ]
    num_kept, num_prunable = sum(kept.values()), sum(own.size for own in tensors if own.prunable)
    record = {
        "format": FORMAT,
        "id": upload_id(digest_of(content)),
        **network,
        "layers": layers,
        "kept": num_kept,
        "prunable": num_prunable,
        "density": num_kept / num_prunable,
        "collapsed": is_collapsed(ticket.mask),
        "mask_sha256": sha256_hex(mask),
        "mask_bytes": len(mask),
        "rewind_sha256": sha256_hex(rewind),
        "rewind_bytes": len(rewind),
        "uploaded_at": clock.to_text(clock.now()),
    }
    return record, mask, rewind


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    document = {"id": record["id"], "object": "upload", **record}
    document.pop("format")
    return {**document, "urls": {"self": f"/v1/uploads/{record['id']}"}}

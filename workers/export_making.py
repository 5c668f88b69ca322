"""Making one export: mask and rewind weights out of the store, the bytes of the asked format back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from lth_core.controls import starting_point
from lth_core.expansion import PlannedLineage
from lth_core.masks import Mask, unpack_mask
from lth_core.weights import Weights, weights_from_safetensors
from service.store.errors import ArtefactCorrupt
from service.store.record import Record
from workers.export_open_lth import export_open_lth, model_file
from workers.export_torch_prune import export_torch_prune

FORMATS = ("torch_prune", "open_lth")


@dataclass(frozen=True)
class Parts:
    """What an export is made of.

    Attributes:
        lineage: The ticket's lineage.
        level: How often it was pruned.
        mask: What is kept.
        mask_sha256: Digest of the packed mask.
        rewind: The unmasked weights to rewind to.
        num_train: Training examples of the data set, validation included.
    """

    lineage: PlannedLineage
    level: int
    mask: Mask
    mask_sha256: str
    rewind: Weights
    num_train: int


async def make_export(record: Record, tenant: str, ticket_id: str, form: str) -> bytes:
    """Make one export; the same ticket gives the same bytes.

    Raises:
        ValueError: If the format is none of `FORMATS`.
        NotFound: If the tenant has no such ticket.
        ArtefactCorrupt: If stored bytes are gone or are not what they should be.
        StoreUnavailable: If the store does not answer.
    """
    if form not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
    parts = await _gather(record, tenant, ticket_id)
    return await asyncio.to_thread(_encode, parts, form)


def _encode(parts: Parts, form: str) -> bytes:
    if form == "torch_prune":
        return export_torch_prune(parts.mask, parts.rewind, parts.mask_sha256)
    spec = parts.lineage.spec
    weights_file = model_file(spec.rewind.step, parts.num_train, spec.train.batch_size)
    return export_open_lth(spec.model, parts.mask, parts.rewind, level=parts.level, weights_file=weights_file)


async def _gather(record: Record, tenant: str, ticket_id: str) -> Parts:
    ticket = await record.ticket(tenant, ticket_id)
    plan = await record.plan(tenant, ticket["search"])
    lineage, level = plan.by_id[ticket["lineage"]], int(ticket["level"])
    tensors = lineage.spec.tensors()
    manifest = dict(await record.ticket_manifest(tenant, ticket_id))
    try:
        packed = await record.blob(tenant, ticket["mask_sha256"])
        mask = unpack_mask(packed, tensors, {layer["name"]: layer["kept"] for layer in manifest["core"]["layers"]})
        rewind = await _rewind(record, tenant, lineage, manifest)
    except ValueError as error:
        raise ArtefactCorrupt(f"ticket {ticket_id}: {error}") from error
    num_train = plan.accepted.dataset.num_train
    return Parts(lineage, level, mask, ticket["mask_sha256"], rewind, num_train)


async def _rewind(record: Record, tenant: str, lineage: PlannedLineage, manifest: dict[str, Any]) -> Weights:
    """Return a ticket's rewind weights: as stored, or, where only masks were kept, from the dense network's."""
    tensors = lineage.spec.tensors()
    if "rewind" in manifest["stored"]:
        data = await record.blob(tenant, manifest["stored"]["rewind"]["sha256"])
        return weights_from_safetensors(data, tensors)
    level = manifest["core"]["level"]
    dense = (await record.manifests(tenant, lineage.dense_key))[0]
    data = await record.blob(tenant, dense["stored"]["rewind"]["sha256"])
    source_key = lineage.source_key or lineage.key
    source = (await record.manifests(tenant, source_key))[level]
    mask = unpack_mask(await record.blob(tenant, source["stored"]["mask"]["sha256"]), tensors)
    return starting_point(lineage.spec, level, mask, weights_from_safetensors(data, tensors))[1]

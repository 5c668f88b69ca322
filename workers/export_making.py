"""Making one export: mask and rewind weights out of the store, the bytes of the asked format back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from lth_core.controls import starting_point
from lth_core.controls_weights import WEIGHTS
from lth_core.expansion import PlannedLineage
from lth_core.inputs import inputs_of
from lth_core.masks import Mask, unpack_mask
from lth_core.networks.build import constants
from lth_core.treatments import Treatment
from lth_core.weights import Weights, weights_from_safetensors
from service.store.errors import ArtefactCorrupt
from service.store.record import Record
from workers.export_open_lth import export_open_lth, model_file
from workers.export_torch_prune import export_torch_prune
from workers.open_lth_names import naming

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
        ValueError: If the format is none of `FORMATS`, or has no counterpart to the network.
        NotFound: If the tenant has no such ticket.
        ArtefactCorrupt: If stored bytes are gone or are not what they should be.
        StoreUnavailable: If the store does not answer.
    """
    if form not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
    parts = await _gather(record, tenant, ticket_id)
    return await asyncio.to_thread(_encode, parts, form)


def _encode(parts: Parts, form: str) -> bytes:
    spec = parts.lineage.spec
    rest = constants(spec.model, spec.in_shape, spec.num_classes)
    if form == "torch_prune":
        return export_torch_prune(parts.mask, parts.rewind, rest, parts.mask_sha256)
    named = naming(spec.model, {**parts.rewind, **rest})
    weights_file = model_file(spec.rewind.step, parts.num_train, spec.train.batch_size)
    return export_open_lth(named, parts.mask, parts.rewind, rest, level=parts.level, weights_file=weights_file)


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
    """Return a ticket's rewind weights: as stored, or, where only masks were kept, as its level started from them."""
    spec, level = lineage.spec, int(manifest["core"]["level"])

    async def stored(own: dict[str, Any], blob: str) -> bytes:
        return await record.blob(tenant, own["stored"][blob]["sha256"])

    if "rewind" in manifest["stored"]:
        return weights_from_safetensors(await stored(manifest, "rewind"), spec.tensors())
    places = inputs_of(lineage, level)
    place = places.get("carried", places["rewind"])
    source = (await record.manifests(tenant, place.key))[place.level]
    weights = weights_from_safetensors(await stored(source, place.blob), spec.tensors())
    if lineage.source_key is None or Treatment.of_label(spec.treatment).name not in WEIGHTS:
        return weights
    ticket = (await record.manifests(tenant, lineage.source_key))[level]
    mask = unpack_mask(await stored(ticket, "mask"), spec.tensors())
    return starting_point(spec, level, mask, weights).weights

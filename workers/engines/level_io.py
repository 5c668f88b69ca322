"""How a level's inputs come out of the object store, and its outputs get into it: verified, by digest."""

from __future__ import annotations

import asyncio
from typing import Any

from lth_core.expansion import LineageSpec
from lth_core.inputs import needs_origin
from lth_core.level import LevelResult
from lth_core.level_task import LevelTask
from lth_core.manifest import blobs_to_keep, final_blob
from lth_core.masks import unpack_mask
from lth_core.transfer import read_ticket
from lth_core.weights import Weights, from_safetensors, weights_from_safetensors
from service.store import keys
from service.store.failpoints import reach
from service.store.objects import ObjectStore
from workers.engines.orders import Order
from workers.patience import persist

STORE_PATIENCE_S = 120.0
"""How long a trained level waits for a store that is down before its training is lost."""


async def fetch_task(objects: ObjectStore, order: Order) -> LevelTask:
    """Read and verify what a level starts from.

    Raises:
        ObjectNotFound: If a blob that a manifest names is gone.
        ArtefactCorrupt: If bytes do not match their digest.
        ValueError: If they do not fit the network.
        StoreUnavailable: If the store is down for long.
    """
    lineage = LineageSpec.model_validate_json(order.spec)
    names = [order.mask, order.rewind, order.dense_final, order.carried, order.optimizer]
    origin = lineage.origin if needs_origin(lineage, order.level) else None
    if origin is not None:
        names += [origin.mask_sha256, origin.rewind_sha256]
    wanted = list(dict.fromkeys(name for name in names if name is not None))
    found = await asyncio.gather(*(_blob(objects, order.tenant, name) for name in wanted))
    blobs = dict(zip(wanted, found, strict=True))
    tensors = lineage.tensors()

    def weights(name: str | None) -> Weights | None:
        return None if name is None else weights_from_safetensors(blobs[name], tensors)

    return LevelTask(
        lineage,
        order.level,
        mask=None if order.mask is None else unpack_mask(blobs[order.mask], tensors),
        rewind=weights(order.rewind),
        dense_final=weights(order.dense_final),
        carried=weights(order.carried),
        optimizer=None if order.optimizer is None else from_safetensors(blobs[order.optimizer]),
        origin=None if origin is None else read_ticket(origin, blobs[origin.mask_sha256], blobs[origin.rewind_sha256]),
    )


async def store_result(
    objects: ObjectStore, order: Order, lineage: LineageSpec, result: LevelResult
) -> dict[str, dict[str, Any]]:
    """Put what is kept of a level under its digests; final weights that are not kept go to `scratch/`.

    Returns:
        The references for the manifest, by name.

    Raises:
        ArtefactCorrupt: If other bytes stand under a digest.
        StoreUnavailable: If the store is down for long.
    """
    kept = blobs_to_keep(result, lineage)

    async def put(data: bytes) -> None:
        await persist(lambda: objects.put_blob(order.tenant, data), STORE_PATIENCE_S)

    async def put_scratch() -> None:
        key = keys.scratch_final(order.tenant, order.key, order.level)
        data = final_blob(result).data
        await persist(lambda: objects.overwrite(key, data), STORE_PATIENCE_S)

    puts = [put(blob.data) for blob in kept.values()]
    if "final" not in kept:
        puts.append(put_scratch())
    await asyncio.gather(*puts)
    reach("FP_AFTER_BLOB")
    return {name: blob.reference() for name, blob in kept.items()}


async def _blob(objects: ObjectStore, tenant: str, sha256: str) -> bytes:
    return await persist(lambda: objects.get_blob(tenant, sha256), STORE_PATIENCE_S)

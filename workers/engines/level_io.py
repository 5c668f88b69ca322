"""How a level's inputs come out of the object store, and its outputs get into it: verified, by digest."""

from __future__ import annotations

import asyncio
from typing import Any

from lth_core.expansion import LineageSpec
from lth_core.level import LevelResult, LevelTask
from lth_core.manifest import blobs_to_keep, final_blob
from lth_core.masks import unpack_mask
from lth_core.pruning import next_mask
from lth_core.weights import weights_from_safetensors
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
    if order.level == 0:
        return LevelTask(lineage, 0)
    tensors = lineage.tensors()
    assert order.rewind is not None
    wanted = (order.mask or order.final, order.rewind)
    source, rewind = await asyncio.gather(*(_blob(objects, order.tenant, str(name)) for name in wanted))
    if order.mask is not None:
        mask = unpack_mask(source, tensors)
    else:
        mask = next_mask(lineage, None, weights_from_safetensors(source, tensors))
    return LevelTask(lineage, order.level, mask, weights_from_safetensors(rewind, tensors))


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

"""From decoded arrays to a registered data set: the files and the document that lie in the store."""

from __future__ import annotations

import asyncio
from typing import Any

from lth_core.expansion import DatasetInfo
from lth_core.normalisation import Normalisation
from lth_core.weights import to_safetensors
from service.store.record import Record
from workers.decoded import Decoded

ARRAYS = "arrays.safetensors"


async def register(record: Record, decoded: Decoded) -> dict[str, Any]:
    """Register a data set under the digest of its arrays; the same arrays once more change nothing.

    Args:
        record: The record; an index that cannot be reached finds the data set at its next rebuild.
        decoded: The arrays.

    Returns:
        The data set's document with its `digest`, and `created` false where it stood already.

    Raises:
        StoreUnavailable: If it is unknown whether it was stored.
    """
    info, arrays, normalisation = await asyncio.to_thread(_encode, decoded)
    return await record.register_dataset(info, {ARRAYS: arrays}, classes=decoded.classes, normalisation=normalisation)


def _encode(decoded: Decoded) -> tuple[DatasetInfo, bytes, dict[str, Any]]:
    normalisation = Normalisation.of("standard", decoded.train_images).document()
    return decoded.info(), to_safetensors(decoded.arrays()), normalisation

"""Comparing two masks of one architecture: what they share, against what chance would share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.api.mask_formats import unpack
from service.api.validation import refuse
from service.store.record import Record

BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


async def compare(record: Record, tenant: str, a: str, b: str) -> dict[str, Any]:
    """Compare the masks of two tickets, found here or uploaded, per layer and in all.

    Raises:
        ApiError: `bad_filter`, if their layers differ.
    """
    first, second = await _layers(record, tenant, a), await _layers(record, tenant, b)
    if [(name, mask.shape) for name, mask in first] != [(name, mask.shape) for name, mask in second]:
        detail = "is a ticket of another architecture"
        raise refuse("bad_filter", [{"pointer": "b", "detail": detail}])
    layers = [
        {"name": name, **_overlap(mask.ravel(), other.ravel())}
        for (name, mask), (_, other) in zip(first, second, strict=True)
    ]
    overall = _overlap(_joined(first), _joined(second))
    return {"object": "comparison", "a": a, "b": b, "layers": layers, "overall": overall}


async def _layers(record: Record, tenant: str, ticket: str) -> list[tuple[str, BoolArray]]:
    if ticket.startswith("upl_"):
        upload = await record.upload(tenant, ticket)
        return list(unpack(await record.blob(tenant, upload["mask_sha256"]), upload["layers"]).items())
    manifest = await record.ticket_manifest(tenant, ticket)
    _, packed = await record.ticket_blob(tenant, ticket, "mask")
    return list(unpack(packed, manifest["core"]["layers"]).items())


def _joined(layers: Sequence[tuple[str, BoolArray]]) -> BoolArray:
    return np.concatenate([mask.ravel() for _, mask in layers])


def _overlap(a: BoolArray, b: BoolArray) -> dict[str, Any]:
    both, either = int((a & b).sum()), int((a | b).sum())
    kept_a, kept_b = int(a.sum()), int(b.sum())
    return {
        "total": int(a.size),
        "kept_a": kept_a,
        "kept_b": kept_b,
        "kept_both": both,
        "kept_both_by_chance": kept_a * kept_b / a.size,
        "jaccard": both / either if either else None,
        "hamming": int((a ^ b).sum()) / a.size,
    }

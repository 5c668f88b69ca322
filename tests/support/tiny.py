"""A tiny learnable data set and a tiny network on it, for tests that train whole levels in milliseconds."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from lth_core.data import TensorData, load
from lth_core.expansion import DatasetInfo, LineageSpec
from lth_core.model_spec import ModelSpec
from lth_core.names import NormalisationKind
from lth_core.parts import Prune, Rewind, Train
from lth_core.weights import Array, content_digest

NUM_CLASSES = 3
SHAPE = (1, 4, 4)
SIZES = (16, 12, 8, NUM_CLASSES)


@cache
def tiny_arrays(num_train: int = 120, num_test: int = 40, shape: tuple[int, ...] = SHAPE) -> dict[str, Array]:
    """Noisy copies of one prototype image per class."""
    generator = np.random.default_rng(7)
    prototypes = generator.integers(0, 200, size=(NUM_CLASSES, *shape))
    arrays: dict[str, Array] = {}
    for part, num in (("train", num_train), ("test", num_test)):
        labels = np.arange(num, dtype=np.int64) % NUM_CLASSES
        noise = generator.integers(-90, 90, size=(num, *shape))
        arrays[f"{part}_images"] = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
        arrays[f"{part}_labels"] = labels
    return arrays


@cache
def tiny_info(shape: tuple[int, ...] = SHAPE) -> DatasetInfo:
    """What the tiny data set is."""
    arrays = tiny_arrays(shape=shape)
    return DatasetInfo(
        name="tiny",
        digest=content_digest(arrays),
        shape=shape,
        num_classes=NUM_CLASSES,
        num_train=len(arrays["train_labels"]),
        num_test=len(arrays["test_labels"]),
    )


@cache
def tiny_data(
    shape: tuple[int, ...] = SHAPE, normalisation: NormalisationKind = "standard", device: str = "cpu"
) -> TensorData:
    """The tiny data set in memory."""
    return load(tiny_info(shape), tiny_arrays(shape=shape), normalisation=normalisation, device=device)


def tiny_lineage(
    *,
    train: dict[str, Any] | None = None,
    prune: dict[str, Any] | None = None,
    rewind_step: int = 0,
    rewind: dict[str, Any] | None = None,
    model: ModelSpec | None = None,
    shape: tuple[int, ...] = SHAPE,
    **more: Any,
) -> LineageSpec:
    """A lineage of a small MLP: 30 steps of Adam, evaluated every 10."""
    return LineageSpec(
        model=model or ModelSpec(name="mlp", sizes=SIZES),
        dataset_name="tiny",
        dataset_digest=tiny_info(shape).digest,
        in_shape=shape,
        num_classes=NUM_CLASSES,
        train=Train(**{"steps": 30, "eval_every": 10, "batch_size": 16, "lr": 0.01, **(train or {})}),
        prune=Prune(**{"levels": 3, **(prune or {})}),
        rewind=Rewind(**{"step": rewind_step, **(rewind or {})}),
        **{"replicate": 0, **more},
    )

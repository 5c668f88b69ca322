"""The work in the project's own terms: its data and its lineages, for the contestants that are parts of the project."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from benchmarks.engine.work import Work
from lth_core.data import TensorData
from lth_core.expansion import DatasetInfo, LineageSpec
from lth_core.model_spec import ModelSpec
from lth_core.normalisation import Normalisation
from lth_core.parts import Prune, Rewind, Train

PARTS = "train", "test"
STEPS_OF_A_LEVEL = 1_000_000
"""Longer than any window, so that windows are cut out of a training and never reach its end."""


def data_of(work: Work) -> TensorData:
    """Return the work's data as engines take it."""
    arrays = {name: work.array(name) for name in ("train_images", "train_labels", "test_images", "test_labels")}
    tensors = {name: torch.from_numpy(array).to(work.terms.device) for name, array in arrays.items()}
    info = DatasetInfo(
        name=work.terms.data["name"],
        digest=work.terms.data["digest"],
        shape=work.terms.in_shape,
        num_classes=work.terms.num_classes,
        num_train=len(arrays["train_labels"]),
        num_test=len(arrays["test_labels"]),
    )
    statistics = work.terms.data["normalisation"]
    normalisation = Normalisation("standard", tuple(statistics["mean"]), tuple(statistics["std"]))
    ones = {f"{part}_scales": torch.ones_like(tensors[f"{part}_labels"], dtype=torch.float32) for part in PARTS}
    return TensorData(info=info, normalisation=normalisation, **tensors, **ones)


def lineage_of(work: Work, *, replicate: int = 0, **train: Any) -> LineageSpec:
    """Return the work's lineage of a replicate, as long as a window can need, fields of its recipe changed."""
    recipe = Train.model_validate({**work.terms.train, "steps": STEPS_OF_A_LEVEL, **train})
    info = work.terms.data
    return LineageSpec(
        model=ModelSpec.model_validate(work.terms.model),
        dataset_name=info["name"],
        dataset_digest=info["digest"],
        in_shape=work.terms.in_shape,
        num_classes=work.terms.num_classes,
        train=recipe,
        prune=Prune(levels=max(1, *work.terms.levels)),
        rewind=Rewind(),
        replicate=replicate,
        device_class="cuda" if work.terms.device == "cuda" else "cpu",
    )


@cache
def _on_a_gpu() -> bool:
    return torch.cuda.is_available()


def synchronise(work: Work) -> None:
    """Wait for the device of the work."""
    if work.terms.device == "cuda" and _on_a_gpu():
        torch.cuda.synchronize()

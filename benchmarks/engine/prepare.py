"""Makes the work: the data, one lineage's masks found by a short real search, starts and orders of the replicates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.engine import data as pictures
from benchmarks.engine.work import Arrays, Terms, Work, write
from lth_core import random
from lth_core.data import TensorData, epoch_batches, load, split
from lth_core.determinism import pin
from lth_core.engines.base import Plan
from lth_core.expansion import DatasetInfo, LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask
from lth_core.parts import Rewind
from lth_core.presets import PRESETS
from lth_core.pruning import next_mask
from lth_core.pulse import Pulse
from lth_core.spec import SearchSpec
from lth_core.training import ReferenceTraining
from lth_core.weights import content_digest

FIRST_REPLICATE = 0
NUM_EPOCHS_ORDERED = 2


def describe(name: str, arrays: Arrays) -> DatasetInfo:
    """Describe a data set by its arrays."""
    return DatasetInfo(
        name=name,
        digest=content_digest(arrays),
        shape=tuple(arrays["train_images"].shape[1:]),
        num_classes=int(arrays["train_labels"].max()) + 1,
        num_train=len(arrays["train_labels"]),
        num_test=len(arrays["test_labels"]),
    )


def lineage_of(
    spec: SearchSpec, info: DatasetInfo, replicate: int, *, device: str = "cpu", **train: Any
) -> LineageSpec:
    """Return one lineage of a specification on a data set, fields of its recipe changed."""
    setting = next(iter(spec.settings()))
    return LineageSpec(
        model=spec.model,
        dataset_name=info.name,
        dataset_digest=info.digest,
        in_shape=info.shape,
        num_classes=info.num_classes,
        train=setting.train.model_copy(update=train),
        prune=setting.prune,
        rewind=Rewind(),
        replicate=replicate,
        device_class="cuda" if device == "cuda" else "cpu",
    )


def start_of(lineage: LineageSpec) -> Arrays:
    """Draw a replicate's starting weights."""
    return dict(glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init")))


def find_masks(lineage: LineageSpec, data: TensorData, num_levels: int, steps: int) -> dict[int, Mask]:
    """Find the masks of levels 1..num_levels by iterative magnitude pruning with the reference, `steps` a level."""
    pin(lineage.threads)
    short = lineage.train.model_copy(update={"steps": steps, "eval_every": steps})
    lineage = lineage.model_copy(update={"train": short})
    start = glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init"))
    masks: dict[int, Mask] = {}
    for level in range(num_levels):
        training = ReferenceTraining(Plan(lineage, start, masks.get(level)), data, Pulse())
        training.advance(steps)
        masks[level + 1] = next_mask(lineage, masks.get(level), training.finish().final, rewind=start, level=level)
    return masks


def order_of(lineage: LineageSpec, num_train: int) -> npt.NDArray[np.int32]:
    """Return the examples of the first epochs' steps, as the reference orders them, [steps, batch]."""
    parts = split(num_train, lineage.replicate)
    epochs = range(NUM_EPOCHS_ORDERED)
    found = [epoch_batches(parts, lineage.replicate, epoch, lineage.train.batch_size) for epoch in epochs]
    return np.concatenate(found).astype(np.int32)


def make_work(
    folder: Path,
    preset: str,
    arrays: Arrays,
    source: dict[str, Any],
    *,
    levels: Sequence[int],
    mask_steps: int,
    num_replicates: int,
    device: str = "cpu",
    model: dict[str, Any] | None = None,
    **train: Any,
) -> Work:
    """Prepare everything the contestants share and write it.

    Args:
        folder: Where to.
        preset: The recipe's preset.
        arrays: The pictures, as `lth_core.data.load` takes them.
        source: What is recorded about them.
        levels: Levels to be measured.
        mask_steps: Steps of each level of the search that finds the masks.
        num_replicates: Starts and orders wanted.
        device: Where contestants compute.
        model: Another network than the preset's.
        train: Fields of the recipe to change.
    """
    spec = PRESETS[preset]().spec
    if model is not None:
        spec = spec.model_copy(update={"model": type(spec.model).model_validate(model)})
    info = describe(source["name"], arrays)
    lineages = [
        lineage_of(spec, info, i, device=device, **train)
        for i in range(FIRST_REPLICATE, FIRST_REPLICATE + num_replicates)
    ]
    data = load(info, arrays, device=device)
    masks = find_masks(lineages[0], data, max(levels), mask_steps)
    tensors = lineages[0].tensors()
    terms = Terms(
        model=spec.model.model_dump(mode="json"),
        train=lineages[0].train.model_dump(mode="json"),
        in_shape=info.shape,
        num_classes=info.num_classes,
        layers=[(tensor.name, tensor.shape, tensor.kind) for tensor in tensors],
        levels=tuple(levels),
        num_replicates=num_replicates,
        data={
            **source,
            "digest": info.digest,
            "normalisation": data.normalisation.document(),
            "mask_steps": mask_steps,
        },
        device=device,
    )
    if info.shape[0] == 1:
        pictures.write_mnist(folder / "home" / "open_lth_datasets" / "mnist", arrays)
    fixed = {
        "train_images": data.train_images.cpu().numpy(),
        "train_labels": data.train_labels.cpu().numpy(),
        "test_images": data.test_images.cpu().numpy(),
        "test_labels": data.test_labels.cpu().numpy(),
        "validation": split(info.num_train, FIRST_REPLICATE).validation,
    }
    orders = [order_of(lineage, info.num_train) for lineage in lineages]
    starts = [start_of(lineage) for lineage in lineages]
    return write(folder, terms, fixed, starts, orders, {level: masks[level] for level in levels if level})

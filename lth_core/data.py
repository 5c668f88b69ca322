"""Data as tensors that stay where they are: normalisation, the split by seed, and the batches of every epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lth_core import random
from lth_core.augmentation import Augmentation
from lth_core.errors import UserError
from lth_core.expansion import DatasetInfo, num_validation
from lth_core.names import NormalisationKind
from lth_core.normalisation import Normalisation

ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class TensorData:
    """A data set in memory, normalised, on the device that trains.

    Attributes:
        info: Name, digest and sizes.
        normalisation: What the stored bytes became.
        train_images: float32 [num_train, C, H, W], validation examples included.
        train_labels: int64 [num_train].
        test_images: float32 [num_test, C, H, W].
        test_labels: int64 [num_test].
        train_scales: float32 [num_train], the factor of each training image in its normalisation.
        test_scales: float32 [num_test].
    """

    info: DatasetInfo
    normalisation: Normalisation
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    train_scales: Tensor
    test_scales: Tensor

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.train_images.device


def load(
    info: DatasetInfo,
    arrays: Mapping[str, npt.NDArray[Any]],
    *,
    device: str = "cpu",
    normalisation: NormalisationKind = "standard",
) -> TensorData:
    """Check a data set's arrays against its description and normalise them.

    Args:
        info: What the data set is said to be.
        arrays: `train_images`, `test_images`: uint8 [N, C, H, W]; `train_labels`, `test_labels`: int64 [N].
        device: Where the tensors will lie.
        normalisation: What the bytes become.

    Raises:
        UserError: If names, types or shapes do not fit.
    """
    _check(info, arrays)
    rule = Normalisation.of(normalisation, arrays["train_images"])
    images = {part: rule.apply(arrays[f"{part}_images"]) for part in ("train", "test")}
    return TensorData(
        info=info,
        normalisation=rule,
        train_images=torch.from_numpy(images["train"]).to(device),
        train_labels=torch.from_numpy(np.ascontiguousarray(arrays["train_labels"])).to(device, copy=True),
        test_images=torch.from_numpy(images["test"]).to(device),
        test_labels=torch.from_numpy(np.ascontiguousarray(arrays["test_labels"])).to(device, copy=True),
        train_scales=torch.from_numpy(rule.scales(arrays["train_images"])).to(device),
        test_scales=torch.from_numpy(rule.scales(arrays["test_images"])).to(device),
    )


@dataclass(frozen=True)
class Split:
    """Which training examples are fitted and which validate, both ascending."""

    fit: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]

    @property
    def validation_sha256(self) -> str:
        """SHA-256 of the validation indices as ascending little-endian int64."""
        return hashlib.sha256(self.validation.astype("<i8").tobytes()).hexdigest()


def split(num_train: int, replicate: int) -> Split:
    """Split training examples: the first `num_validation` of a random order validate."""
    order = random.permutation(random.seed_key(replicate, "split"), num_train)
    num = num_validation(num_train)
    return Split(fit=np.sort(order[num:]), validation=np.sort(order[:num]))


def epoch_batches(
    split: Split, replicate: int, epoch: int, batch_size: int, purpose: str = "order"
) -> npt.NDArray[np.int64]:
    """Return the example indices of an epoch, [num_batches, batch_size]; the short last batch is dropped.

    The order depends on replicate, epoch and purpose alone: dense network, tickets and controls see equal batches.
    """
    num_batches = len(split.fit) // batch_size
    order = random.permutation(random.seed_key(replicate, purpose), len(split.fit), step=epoch)
    return split.fit[order[: num_batches * batch_size]].reshape(num_batches, batch_size)


def batches(
    data: TensorData,
    parts: Split,
    replicate: int,
    batch_size: int,
    first_step: int,
    *,
    order: str = "order",
    augmentation: Augmentation | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels of every step from `first_step` on, without end.

    Args:
        data: The data set.
        parts: Which of its training examples are fitted.
        replicate: Whose order it is.
        batch_size: Examples of one step.
        first_step: Steps that count as done.
        order: Purpose of the seed that orders the examples.
        augmentation: What is done to the images; None leaves them as they are.
    """
    per_epoch = len(parts.fit) // batch_size
    epoch, position = divmod(first_step, per_epoch)
    while True:
        examples = epoch_batches(parts, replicate, epoch, batch_size, order)[position:]
        chosen = torch.from_numpy(examples).to(data.device)
        drawn = None if augmentation is None else torch.from_numpy(augmentation.draw(epoch, examples)).to(data.device)
        for i, batch in enumerate(chosen.unbind()):
            images = data.train_images.index_select(0, batch)
            if augmentation is not None and drawn is not None:
                images = augmentation.apply(images, drawn[i])
            yield images, data.train_labels.index_select(0, batch)
        epoch, position = epoch + 1, 0


def _check(info: DatasetInfo, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    if set(arrays) != set(ARRAY_NAMES):
        raise UserError(f"dataset {info.name} must have the arrays {list(ARRAY_NAMES)}, got {sorted(arrays)}")
    if num_validation(info.num_train) < 1:
        raise UserError(f"dataset {info.name} must have >= 10 training examples, got {info.num_train}")
    for part, num in (("train", info.num_train), ("test", info.num_test)):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.dtype != np.uint8 or images.shape != (num, *info.shape) or images.ndim != 4:
            raise UserError(
                f"{part}_images must be uint8 of shape {(num, *info.shape)}, got {images.dtype} {images.shape}"
            )
        if labels.dtype != np.int64 or labels.shape != (num,):
            raise UserError(f"{part}_labels must be int64 of shape {(num,)}, got {labels.dtype} {labels.shape}")
        if num and not 0 <= int(labels.min()) <= int(labels.max()) < info.num_classes:
            raise UserError(f"{part}_labels must be >= 0 and < {info.num_classes}")

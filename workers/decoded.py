"""One data set decoded to arrays: unsigned bytes in [N, C, H, W] beside integer labels, checked and digested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lth_core.errors import UserError
from lth_core.expansion import DatasetInfo
from lth_core.weights import content_digest

MIN_NUM_TRAIN = 10
"""Fewest training examples: a tenth becomes validation, and that must be at least one."""

MAX_NUM_CLASSES = 10_000
MAX_ARRAY_BYTES = 4 * 2**30
"""Largest sum of decoded arrays: a data set is one object, written by one request and held in memory."""

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Decoded:
    """The arrays of one data set and the names of its classes.

    Attributes:
        name: Name under which it is registered.
        train_images: uint8 [num_train, C, H, W].
        train_labels: int64 [num_train], every class of 0..K-1 at least once.
        test_images: uint8 [num_test, C, H, W].
        test_labels: int64 [num_test].
        classes: Names of the K classes in label order, or None where the source has none.

    Raises:
        UserError: If arrays and labels do not fit together, naming field, bound and value.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_part("train", self.train_images, self.train_labels, minimum=MIN_NUM_TRAIN)
        _check_part("test", self.test_images, self.test_labels, minimum=1)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise UserError(
                f"test_images: shape {self.test_images.shape[1:]} per image differs from the training images' "
                f"{self.train_images.shape[1:]}"
            )
        _check_classes(self.train_labels, self.test_labels, self.num_classes)

    @property
    def num_classes(self) -> int:
        """Number of classes K: the given names, or the largest training label plus one."""
        return len(self.classes) if self.classes is not None else int(self.train_labels.max()) + 1

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the four arrays by the names under which they are stored, contiguous in memory."""
        return {
            "train_images": np.ascontiguousarray(self.train_images),
            "train_labels": np.ascontiguousarray(self.train_labels),
            "test_images": np.ascontiguousarray(self.test_images),
            "test_labels": np.ascontiguousarray(self.test_labels),
        }

    def info(self) -> DatasetInfo:
        """Return name, content digest and sizes, as a search refers to the data set."""
        return DatasetInfo(
            name=self.name,
            digest=content_digest(self.arrays()),
            shape=tuple(int(size) for size in self.train_images.shape[1:]),
            num_classes=self.num_classes,
            num_train=len(self.train_labels),
            num_test=len(self.test_labels),
        )


def check_size(num_images: int, image_shape: Sequence[int]) -> None:
    """Refuse, before anything is allocated, arrays that would not fit into one object.

    Raises:
        UserError: If the decoded images exceed `MAX_ARRAY_BYTES`.
    """
    num_bytes = num_images * math.prod(image_shape)
    if num_bytes > MAX_ARRAY_BYTES:
        raise UserError(
            f"images: {num_images} of shape {tuple(image_shape)} are {num_bytes} bytes; at most {MAX_ARRAY_BYTES} "
            "fit into one data set"
        )


def _check_part(part: str, images: Images, labels: Labels, *, minimum: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape[1:]:
        raise UserError(f"{part}_images: must be uint8 [N, C, H, W], not {images.dtype} {images.shape}")
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise UserError(f"{part}_labels: must be int64 [N], not {labels.dtype} {labels.shape}")
    if len(images) != len(labels):
        raise UserError(f"{part}_labels: {len(labels)} labels for {len(images)} images")
    if len(labels) < minimum:
        raise UserError(f"{part}_images: at least {minimum} examples are needed, not {len(labels)}")
    check_size(len(images), images.shape[1:])


def _check_classes(train_labels: Labels, test_labels: Labels, num_classes: int) -> None:
    if not 2 <= num_classes <= MAX_NUM_CLASSES:
        raise UserError(f"classes: between 2 and {MAX_NUM_CLASSES} are possible, not {num_classes}")
    for part, labels in (("train", train_labels), ("test", test_labels)):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            bad = low if low < 0 else high
            raise UserError(f"{part}_labels: must lie in 0..{num_classes - 1}, not {bad}")
    counts = np.bincount(train_labels, minlength=num_classes)
    if (counts == 0).any():
        raise UserError(f"train_labels: class {int(np.argmin(counts))} has no example; labels must be 0..K-1")

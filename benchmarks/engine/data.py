"""Data sets of the benchmarks: MNIST where it lies on disk, otherwise made-up pictures of the same shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
IDX = {"train": "train", "test": "t10k"}


def read_mnist(root: Path) -> Arrays | None:
    """Return MNIST from torchvision's layout under `root`, None if it is not there."""
    raw = root / "MNIST" / "raw"
    arrays: Arrays = {}
    for part, prefix in IDX.items():
        images, labels = (raw / f"{prefix}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
        if not (images.exists() and labels.exists()):
            return None
        arrays[f"{part}_images"] = np.fromfile(images, dtype=np.uint8)[16:].reshape(-1, 1, 28, 28)
        arrays[f"{part}_labels"] = np.fromfile(labels, dtype=np.uint8)[8:].astype(np.int64)
    return arrays


def write_mnist(root: Path, arrays: Arrays) -> None:
    """Write pictures of one channel in torchvision's layout, for contestants with a loader of their own."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part, prefix in IDX.items():
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        sizes = np.array([len(images), *images.shape[2:]], dtype=">u4").tobytes()
        head = bytes([0, 0, 8, 3]) + sizes
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = bytes([0, 0, 8, 1]) + sizes[:4]
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())


def made_up(in_shape: tuple[int, ...], num_train: int, num_test: int, num_classes: int = 10) -> Arrays:
    """Return learnable pictures: noisy strokes around one prototype per class, dark at the border as MNIST is."""
    draw = np.random.default_rng(20190306)
    channels, height, width = in_shape
    inner = (channels, height - height // 4, width - width // 4)
    prototypes = (draw.random((num_classes, *inner)) < 0.3) * 255
    top, left = height // 8, width // 8
    arrays: Arrays = {}
    for part, num in (("train", num_train), ("test", num_test)):
        labels = draw.integers(0, num_classes, num)
        images = np.zeros((num, *in_shape), dtype=np.uint8)
        for start in range(0, num, 5000):
            chosen = labels[start : start + 5000]
            flipped = draw.random((len(chosen), *inner), dtype=np.float32) < 0.15
            strokes = np.where(flipped, 255 - prototypes[chosen], prototypes[chosen]).astype(np.uint8)
            images[start : start + 5000, :, top : top + inner[1], left : left + inner[2]] = strokes
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = images, labels
    return arrays

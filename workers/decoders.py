"""The built-in data sets: scikit-learn's digits, and torchvision's MNIST and CIFAR families from a root folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lth_core.errors import UserError
from workers.decoded import Decoded


@dataclass(frozen=True)
class BuiltIn:
    """What is known of a built-in data set before it is read; a file cut short is thereby noticed.

    Attributes:
        loader: Class of `torchvision.datasets` that reads it, None for the one that comes with scikit-learn.
        folder: Where that class looks below the root folder.
        shape: Channels, height and width of an image.
    """

    loader: str | None
    folder: str
    shape: tuple[int, int, int]
    num_classes: int
    num_train: int
    num_test: int


BUILT_IN: dict[str, BuiltIn] = {
    "digits": BuiltIn(None, "", (1, 8, 8), 10, 1437, 360),
    "mnist": BuiltIn("MNIST", "MNIST/raw", (1, 28, 28), 10, 60_000, 10_000),
    "fashion_mnist": BuiltIn("FashionMNIST", "FashionMNIST/raw", (1, 28, 28), 10, 60_000, 10_000),
    "kmnist": BuiltIn("KMNIST", "KMNIST/raw", (1, 28, 28), 10, 60_000, 10_000),
    "cifar10": BuiltIn("CIFAR10", "cifar-10-batches-py", (3, 32, 32), 10, 50_000, 10_000),
    "cifar100": BuiltIn("CIFAR100", "cifar-100-python", (3, 32, 32), 100, 50_000, 10_000),
}


def decode_built_in(name: str, *, root: Path | None, download: bool) -> Decoded:
    """Read a built-in data set.

    Args:
        name: A key of `BUILT_IN`.
        root: Folder in torchvision's layout; `digits` needs none.
        download: Fetch into `root` what is missing there; torchvision checks its own checksums.

    Returns:
        Its arrays, in the order of the source.

    Raises:
        UserError: If the files are missing, damaged or not those of the data set.
    """
    known = BUILT_IN[name]
    if known.loader is None:
        decoded = _digits()
    else:
        if root is None:
            raise UserError(f"root: {name} is read from a folder that holds {known.folder}; none was given")
        decoded = _torchvision(name, known, root, download)
    _check_known(decoded, known)
    return decoded


def _digits() -> Decoded:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = np.asarray(bunch.images).astype(np.uint8)[:, np.newaxis]
    labels = np.asarray(bunch.target).astype(np.int64)
    is_test = np.arange(len(labels)) % 5 == 0
    classes = tuple(str(name) for name in bunch.target_names)
    return Decoded("digits", images[~is_test], labels[~is_test], images[is_test], labels[is_test], classes)


def _torchvision(name: str, known: BuiltIn, root: Path, download: bool) -> Decoded:
    from torchvision import datasets

    loader: Callable[..., Any] = getattr(datasets, str(known.loader))
    if download:
        root.mkdir(parents=True, exist_ok=True)
    try:
        parts = [loader(root=str(root), train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, ValueError, AssertionError) as error:
        hint = "" if download else "; --download fetches it"
        raise UserError(f"root: no readable {name} under {root / known.folder} ({error}){hint}") from error
    train, test = parts
    return Decoded(
        name,
        _channels_first(train.data),
        np.asarray(train.targets).astype(np.int64),
        _channels_first(test.data),
        np.asarray(test.targets).astype(np.int64),
        tuple(str(text) for text in train.classes),
    )


def _channels_first(images: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Turn [N, H, W] or [N, H, W, C] into contiguous [N, C, H, W]."""
    array = np.asarray(images)
    moved = array[:, np.newaxis] if array.ndim == 3 else np.moveaxis(array, -1, 1)
    return np.ascontiguousarray(moved)


def _check_known(decoded: Decoded, known: BuiltIn) -> None:
    info = decoded.info()
    found = (tuple(info.shape), info.num_classes, info.num_train, info.num_test)
    expected = (known.shape, known.num_classes, known.num_train, known.num_test)
    if found != expected:
        raise UserError(
            f"{decoded.name}: found (shape, classes, train, test) = {found}, but the data set has {expected}; "
            "the files are not complete"
        )

"""An npz file of the user becomes a data set, or is refused with the name of the array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lth_core.errors import UserError
from workers.npz_arrays import decode_npz

RNG = np.random.default_rng(0)


def write_npz(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "train_images": RNG.integers(0, 256, (20, 6, 5), dtype=np.uint8),
        "train_labels": np.arange(20, dtype=np.uint8) % 3,
        "test_images": RNG.integers(0, 256, (6, 6, 5), dtype=np.uint8),
        "test_labels": np.arange(6, dtype=np.int32) % 3,
    }
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_grey_images_gain_a_channel(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (20, 6, 5), dtype=np.uint8)
    decoded = decode_npz("mine", write_npz(tmp_path / "a.npz", train_images=images))
    assert np.array_equal(decoded.train_images, images[:, None])
    assert decoded.train_labels.dtype == np.int64
    assert decoded.info().num_classes == 3


def test_channels_last_and_first_give_one_digest(tmp_path: Path) -> None:
    train, test = (RNG.integers(0, 256, (n, 3, 6, 5), dtype=np.uint8) for n in (20, 6))
    first = decode_npz("mine", write_npz(tmp_path / "a.npz", train_images=train, test_images=test))
    moved = {"train_images": np.moveaxis(train, 1, -1), "test_images": np.moveaxis(test, 1, -1)}
    last = decode_npz("mine", write_npz(tmp_path / "b.npz", **moved))
    assert first.info() == last.info()
    assert first.info().shape == (3, 6, 5)


def test_classes_are_taken_by_name(tmp_path: Path) -> None:
    decoded = decode_npz("mine", write_npz(tmp_path / "a.npz", classes=np.array(["a", "b", "c"])))
    assert decoded.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test_labels": None}, "missing: test_labels, unknown: none"),
        ({"extra": np.zeros(3)}, "missing: none, unknown: extra"),
        ({"train_images": np.zeros((20, 6, 5))}, "train_images: must be uint8 .*float64"),
        ({"train_images": np.zeros((20, 30), np.uint8)}, r"train_images: must be \[N, H, W\]"),
        ({"train_images": np.zeros((20, 3, 6, 3), np.uint8)}, "both the second and the last axis"),
        ({"train_images": np.zeros((20, 6, 6, 2), np.uint8)}, "neither the second nor the last axis"),
        ({"train_labels": np.zeros(20)}, "train_labels: must be integers, not float64"),
        ({"classes": np.array([1, 2, 3])}, "classes: must be a list of strings"),
        ({"classes": np.array(["a", "b"])}, r"train_labels: must lie in 0\.\.1, not 2"),
        ({"train_labels": np.array([{}] * 20, dtype=object)}, "no npz of plain arrays"),
    ],
)
def test_an_array_that_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        decode_npz("mine", write_npz(tmp_path / "a.npz", **changes))


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="is no npz archive"):
        decode_npz("mine", path)

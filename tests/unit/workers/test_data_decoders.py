"""Built-in data sets are decoded whole, in their own order, or refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from lth_core.errors import UserError
from lth_core.normalisation import channel_statistics
from workers.decoded import Decoded
from workers.decoders import BUILT_IN, decode_built_in


def make_decoded(**changes: object) -> Decoded:
    arrays: dict[str, object] = {
        "train_images": np.arange(20 * 12, dtype=np.uint8).reshape(20, 1, 3, 4),
        "train_labels": np.arange(20) % 2,
        "test_images": np.zeros((4, 1, 3, 4), np.uint8),
        "test_labels": np.zeros(4, np.int64),
    }
    return Decoded("tiny", **{**arrays, **changes})  # type: ignore[arg-type]


def test_digits_hold_out_every_fifth_example() -> None:
    digits = decode_built_in("digits", root=None, download=False)
    info = digits.info()
    assert (info.shape, info.num_classes, info.num_train, info.num_test) == ((1, 8, 8), 10, 1437, 360)
    assert digits.train_images.max() == 16
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    assert np.array_equal(digits.test_images.reshape(360, 64), images[::5])
    assert np.array_equal(digits.test_labels, labels[::5])


def test_digits_decoded_twice_have_one_digest() -> None:
    digests = {decode_built_in("digits", root=None, download=False).info().digest for _ in range(2)}
    assert len(digests) == 1


def test_digest_depends_on_pixels_and_labels_only_by_content() -> None:
    digest = make_decoded().info().digest
    assert make_decoded().info().digest == digest
    assert make_decoded(test_images=np.ones((4, 1, 3, 4), np.uint8)).info().digest != digest
    transposed = np.asfortranarray(make_decoded().train_images)
    assert make_decoded(train_images=transposed).info().digest == digest


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"train_images": np.zeros((20, 3, 4), np.uint8)}, r"train_images: must be uint8 \[N, C, H, W\]"),
        ({"train_images": np.zeros((20, 1, 3, 4), np.float32)}, "train_images: must be uint8"),
        ({"train_labels": np.zeros(19, np.int64)}, "train_labels: 19 labels for 20 images"),
        ({"test_images": np.zeros((4, 1, 4, 4), np.uint8)}, "test_images: shape"),
        ({"test_labels": np.array([0, 1, 2, 0])}, r"test_labels: must lie in 0\.\.1, not 2"),
        ({"train_labels": np.array([0, 2] * 10)}, "class 1 has no example"),
        ({"train_labels": np.array([-1, 1] * 10)}, r"train_labels: must lie in 0\.\.1, not -1"),
        ({"train_labels": np.zeros(20, np.int64)}, "classes: between 2 and 10000 are possible, not 1"),
        ({"test_images": np.zeros((0, 1, 3, 4), np.uint8), "test_labels": np.zeros(0, np.int64)}, "at least 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        make_decoded(**changes)


def test_a_missing_root_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"root: no readable mnist under .*MNIST/raw.*--download"):
        decode_built_in("mnist", root=tmp_path, download=False)
    with pytest.raises(UserError, match="root: cifar10 is read from a folder"):
        decode_built_in("cifar10", root=None, download=False)


def test_a_truncated_mnist_file_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28]))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 20]) + bytes(range(10)) * 2)
    with pytest.raises(UserError, match="root: no readable mnist"):
        decode_built_in("mnist", root=tmp_path, download=False)


def test_another_number_of_examples_is_not_taken_for_mnist(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        header = bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28])
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + bytes(20 * 28 * 28))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 20]) + bytes(range(10)) * 2)
    with pytest.raises(UserError, match=r"mnist: found .*20, 20\), but the data set has .*60000, 10000"):
        decode_built_in("mnist", root=tmp_path, download=False)


def test_every_built_in_names_a_loader_of_torchvision() -> None:
    from torchvision import datasets

    assert all(hasattr(datasets, known.loader) for known in BUILT_IN.values() if known.loader)


def test_real_mnist_keeps_its_bytes_and_order() -> None:
    root = Path(os.environ.get("LTH_TEST_DATA", ""))
    raw = root / "MNIST" / "raw"
    if not os.environ.get("LTH_TEST_DATA") or not raw.is_dir():
        pytest.skip("LTH_TEST_DATA names no folder with MNIST/raw")
    expected = {"train": "6bbc9ace898e44ae57da46a324031adb", "t10k": "2646ac647ad5339dbf082846283269ea"}
    mnist = decode_built_in("mnist", root=root, download=False)
    for part, images in (("train", mnist.train_images), ("t10k", mnist.test_images)):
        content = (raw / f"{part}-images-idx3-ubyte").read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == expected[part]
        assert images.tobytes() == content[16:]
    means, stds = channel_statistics(mnist.train_images)
    assert means[0] / 255 == pytest.approx(0.1307, abs=5e-5)
    assert stds[0] / 255 == pytest.approx(0.3081, abs=5e-5)
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]

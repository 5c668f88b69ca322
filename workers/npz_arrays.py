"""A data set from an npz file of the user: four arrays by name, read without pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lth_core.errors import UserError
from workers.decoded import MAX_ARRAY_BYTES, Decoded

REQUIRED = ("train_images", "train_labels", "test_images", "test_labels")
OPTIONAL = ("classes",)


def decode_npz(name: str, path: Path) -> Decoded:
    """Read a data set from an npz file.

    Images are uint8: [N, H, W], or with 1 or 3 channels [N, H, W, C] or [N, C, H, W]. Labels are integers 0..K-1,
    one per image. An optional array `classes` of K strings names them.

    Args:
        name: Name under which it will be registered.
        path: The npz file; arrays of Python objects are refused.

    Raises:
        UserError: If a key, a type, a shape or a label is not as above, naming it.
    """
    _check_archive(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"from: {path} is no npz of plain arrays ({error})") from error
    missing = [key for key in REQUIRED if key not in arrays]
    unknown = sorted(set(arrays) - {*REQUIRED, *OPTIONAL})
    if missing or unknown:
        raise UserError(
            f"from: {path} needs the arrays {', '.join(REQUIRED)} and may have classes; "
            f"missing: {', '.join(missing) or 'none'}, unknown: {', '.join(unknown) or 'none'}"
        )
    return Decoded(
        name,
        _images("train_images", arrays["train_images"]),
        _labels("train_labels", arrays["train_labels"]),
        _images("test_images", arrays["test_images"]),
        _labels("test_labels", arrays["test_labels"]),
        _classes(arrays["classes"]) if "classes" in arrays else None,
    )


def _check_archive(path: Path) -> None:
    """Refuse what unpacks to more than a data set may be, from the archive's own directory."""
    try:
        with zipfile.ZipFile(path) as archive:
            num_bytes = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"from: {path} is no npz archive ({error})") from error
    if num_bytes > 2 * MAX_ARRAY_BYTES:
        raise UserError(f"from: {path} unpacks to {num_bytes} bytes; at most {2 * MAX_ARRAY_BYTES} are read")


def _images(key: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if array.dtype != np.uint8:
        raise UserError(f"{key}: must be uint8 in 0..255, not {array.dtype}")
    if array.ndim == 3:
        return np.ascontiguousarray(array[:, np.newaxis])
    if array.ndim != 4:
        raise UserError(f"{key}: must be [N, H, W], [N, H, W, C] or [N, C, H, W], not of shape {array.shape}")
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    if first == last:
        why = "both the second and the last axis could be" if first else "neither the second nor the last axis is"
        raise UserError(f"{key}: {why} 1 or 3 channels in shape {array.shape}")
    return np.ascontiguousarray(array if first else np.moveaxis(array, -1, 1))


def _labels(key: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    if array.dtype.kind not in "iu":
        raise UserError(f"{key}: must be integers, not {array.dtype}")
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise UserError(f"{key}: must fit into 63 bits, not {int(array.max())}")
    return np.ascontiguousarray(array.astype(np.int64))


def _classes(array: np.ndarray[Any, Any]) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.ndim != 1:
        raise UserError(f"classes: must be a list of strings, not {array.dtype} {array.shape}")
    return tuple(str(name) for name in array)

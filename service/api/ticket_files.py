"""Masks and weights out of a client's files: safetensors, npz or packed bits, checked before they are believed."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lth_core.architecture import TensorSpec
from lth_core.masks import Mask, check_mask, packed_size_bytes, unpack_mask
from lth_core.weights import Array, Weights, check_weights, from_safetensors
from service.api.mask_formats import MEDIA_TYPES

MAX_HEADER_BYTES = 10_000
"""How long the header of one array in an npz archive may be."""
_ZIP_MAGIC = b"PK\x03\x04"
_FORMS = {media_type: form for form, media_type in MEDIA_TYPES.items() if form in ("packed", "safetensors", "npz")}
_UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error)
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_mask(data: bytes, media_type: str | None, tensors: Sequence[TensorSpec]) -> Mask:
    """Read a mask: packed bits as the service stores them, or one array of zeros and ones per prunable tensor.

    Args:
        data: The file.
        media_type: What the client calls it; a name that is none of the service's is ignored, the content decides.
        tensors: The network's tensors in state_dict order.

    Raises:
        ValueError: Naming the tensor and what is wrong with it.
    """
    form = _form_of(data, media_type)
    if form == "packed":
        if len(data) != packed_size_bytes(tensors):
            detail = f"packed bits of this network have {packed_size_bytes(tensors)} bytes, got {len(data)}"
            raise ValueError(f"is neither safetensors nor npz, and {detail}")
        return unpack_mask(data, tensors)
    wanted = {tensor.name: tensor.shape for tensor in tensors if tensor.prunable}
    arrays = from_safetensors(data) if form == "safetensors" else read_npz(data, wanted)
    _check_names(arrays, wanted)
    return check_mask({name: _as_bool(name, array) for name, array in arrays.items()}, tensors)


def read_rewind(data: bytes, media_type: str | None, tensors: Sequence[TensorSpec]) -> Weights:
    """Read the weights to rewind to: one float32 array per tensor of the network, buffers included.

    Raises:
        ValueError: Naming the tensor and what is wrong with it.
    """
    form = _form_of(data, media_type)
    if form == "packed":
        raise ValueError("must be safetensors or npz")
    wanted = {tensor.name: tensor.shape for tensor in tensors}
    arrays = from_safetensors(data) if form == "safetensors" else read_npz(data, wanted)
    _check_names(arrays, wanted)
    weights = check_weights(arrays, tensors)
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds a value that is not finite")
    return weights


def read_npz(data: bytes, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Read arrays of known shapes out of an npz archive; nothing is unpickled, and nothing larger is unpacked.

    Args:
        data: The archive.
        wanted: Shape of each array by name.

    Raises:
        ValueError: If it is no such archive, or an array has another name or shape.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename.removesuffix(".npy") for entry in entries]
            if len(set(names)) != len(names):
                raise ValueError("holds an array twice")
            _check_names(names, wanted)
            pairs = zip(names, entries, strict=True)
            return {name: _read_array(archive, entry, name, wanted[name]) for name, entry in pairs}
    except (*_UNREADABLE, EOFError, OSError, NotImplementedError, RuntimeError, SyntaxError) as error:
        raise ValueError(f"is no npz of plain arrays ({type(error).__name__})") from error


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, shape: tuple[int, ...]) -> Array:
    if entry.compress_type not in _PLAIN:
        raise ValueError(f"{name} is compressed in a way that is not read here; use numpy.savez")
    with archive.open(entry) as file:
        head = io.BytesIO(file.read(min(entry.file_size, MAX_HEADER_BYTES)))
        version = np.lib.format.read_magic(head)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f"{name} is an array of another version, {version}")
        found, is_fortran, dtype = read_header[version](head)
        if found != shape:
            raise ValueError(f"{name} must have shape {shape}, got {found}")
        if dtype not in (np.dtype(np.bool_), np.dtype(np.uint8), np.dtype(np.float32)):
            raise ValueError(f"{name} must be bool, uint8 or float32, got {dtype}")
        size_bytes = math.prod(shape) * dtype.itemsize
        raw = head.read()
        raw += file.read(max(0, size_bytes - len(raw) + 1))
    if len(raw) != size_bytes:
        raise ValueError(f"{name} must have {size_bytes} bytes, got {'more' if len(raw) > size_bytes else len(raw)}")
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if is_fortran else "C")
    return np.ascontiguousarray(array)


def _form_of(data: bytes, media_type: str | None) -> str:
    """Tell how a file is written: by its media type where that is one of the service's, else by how it begins."""
    known = _FORMS.get((media_type or "").partition(";")[0].strip().lower())
    if known is not None:
        return known
    if data.startswith(_ZIP_MAGIC):
        return "npz"
    header_bytes = int.from_bytes(data[:8], "little")
    return "safetensors" if data[8:9] == b"{" and header_bytes <= len(data) - 8 else "packed"


def _check_names(given: Sequence[str] | Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    if missing:
        raise ValueError(f"lacks {missing[0]}{_and_more(missing)}")
    if unknown:
        raise ValueError(f"holds {unknown[0][:60]!r}{_and_more(unknown)}, which the network does not have")


def _and_more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _as_bool(name: str, array: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if array.dtype not in (np.dtype(np.bool_), np.dtype(np.uint8)):
        raise ValueError(f"{name} must be bool or uint8 zeros and ones, got {array.dtype}")
    if array.dtype == np.uint8 and array.size and int(array.max()) > 1:
        raise ValueError(f"{name} must hold zeros and ones, got {int(array.max())}")
    return np.asarray(array, dtype=np.bool_)

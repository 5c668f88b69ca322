"""The structs of `source/network.h`, field by field."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_double, c_int32, c_int64, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ALIGNMENT = 64
"""Bytes of a cache line; every array of a network begins at one."""

KINDS = {"sgd": 0, "momentum": 1, "adam": 2}


class LayerStruct(Structure):
    """One layer; pointers are to numpy arrays that outlive it."""

    _fields_ = [
        ("in", c_int32),
        ("out", c_int32),
        ("dense", c_int32),
        ("num_rows", c_int32),
        ("num_blocks", c_int32),
        ("block_size", c_int32),
        ("num_units", c_int32),
        ("nnz", c_int32),
        ("w", c_void_p),
        ("m", c_void_p),
        ("v", c_void_p),
        ("keep", c_void_p),
        ("bias", c_void_p),
        ("bias_m", c_void_p),
        ("bias_v", c_void_p),
        ("rows", c_void_p),
        ("ptr", c_void_p),
        ("col", c_void_p),
        ("units", c_void_p),
        ("unit_ptr", c_void_p),
        ("unit_row", c_void_p),
        ("unit_pos", c_void_p),
        ("y", c_void_p),
        ("d", c_void_p),
        ("y_eval", c_void_p),
        ("xt", c_void_p),
    ]


class NetworkStruct(Structure):
    """A network, its optimizer and its buffers; pointers are to numpy arrays that outlive it."""

    _fields_ = [
        ("num_layers", c_int32),
        ("batch", c_int32),
        ("width", c_int32),
        ("num_chunks", c_int32),
        ("kind", c_int32),
        ("decoupled", c_int32),
        ("momentum", c_double),
        ("weight_decay", c_double),
        ("smoothing", c_double),
        ("layers", POINTER(LayerStruct)),
        ("x", c_void_p),
        ("groups", c_void_p),
        ("live", c_void_p),
        ("num_groups", c_int64),
        ("zeros", c_void_p),
        ("labels", c_void_p),
        ("losses", c_void_p),
        ("gradient", c_void_p),
    ]


def zeros(num: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """Return zeros that begin at a cache line; never fewer than one line, so that a pointer always points somewhere."""
    kind = np.dtype(dtype)
    size = max(num * kind.itemsize, ALIGNMENT)
    raw = np.zeros(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(kind)[: max(num, 0)]


def aligned(values: Array, dtype: npt.DTypeLike) -> Array:
    """Return a flat copy that begins at a cache line."""
    copy = zeros(values.size, dtype)
    copy[:] = values.reshape(-1)
    return copy


def address(array: Array | None) -> int | None:
    """Return where an array lies, None for no array."""
    return None if array is None else int(array.ctypes.data)


def round_up(num: int, to: int) -> int:
    """Return the smallest multiple of `to` that is >= num."""
    return -(-num // to) * to


def rows48(features: int) -> int:
    """Return the rows of an activation buffer: whole tiles of 6 outputs and whole panels of 16 inputs."""
    return round_up(features, 48)

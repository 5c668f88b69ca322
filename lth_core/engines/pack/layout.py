"""Where the tensors of a network lie in a slot's row: one flat float32 row per slot, padded to whole cache lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lth_core.tensor_spec import TensorSpec
from lth_core.weights import Array, Weights

ROW_UNIT = 32
"""Rows are padded to this many floats, 128 bytes: every slot sees its tensors at the same alignment."""

Vector = npt.NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Where the parameters of a network lie in a slot's row.

    Attributes:
        num: Parameters.
        order: The parameter, by its place in state_dict order, at each place of a row, int64 [num]; None if they are
            the same.
    """

    num: int
    order: npt.NDArray[np.int64] | None = None

    def row_of(self, vector: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return what lies in a row, given a vector in state_dict order."""
        return vector if self.order is None else vector[self.order]

    def vector_of(self, row: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return a vector in state_dict order, given what lies in a row."""
        if self.order is None:
            return row
        vector = np.empty_like(row)
        vector[self.order] = row
        return vector


def parameters(tensors: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the tensors that the optimizer updates, in state_dict order."""
    return tuple(tensor for tensor in tensors if tensor.is_parameter)


def buffers(tensors: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the running statistics, in state_dict order."""
    return tuple(tensor for tensor in tensors if not tensor.is_parameter)


def num_elements(tensors: Sequence[TensorSpec]) -> int:
    """Return how many numbers the tensors have together."""
    return sum(tensor.size for tensor in tensors)


def row_size(num: int) -> int:
    """Return the length of a row for `num` numbers."""
    return -(-num // ROW_UNIT) * ROW_UNIT


def joined(arrays: Mapping[str, Array], tensors: Sequence[TensorSpec]) -> Vector:
    """Return the arrays of some tensors as one vector."""
    parts = [np.asarray(arrays[tensor.name], dtype=np.float32).reshape(-1) for tensor in tensors]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def apart(vector: Vector, tensors: Sequence[TensorSpec]) -> Weights:
    """Return copies of the tensors that a vector (or the row it begins) holds."""
    found: Weights = {}
    start = 0
    for tensor in tensors:
        found[tensor.name] = vector[start : start + tensor.size].reshape(tensor.shape).copy()
        start += tensor.size
    return found

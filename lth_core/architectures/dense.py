"""Fully connected networks, LeNet-300-100 among them."""

from __future__ import annotations

from itertools import pairwise

from lth_core.tensor_spec import TensorSpec, linear


def dense(sizes: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    """Return the layers `fc1 ... fcN`, the last one called `out`.

    Args:
        sizes: Units of every layer, input and output included.
    """
    tensors: list[TensorSpec] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        last = i == len(sizes) - 1
        tensors += linear("out" if last else f"fc{i}", inputs, outputs, "output" if last else "fc")
    return tuple(tensors)

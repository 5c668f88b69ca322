"""Every form of a mask holds the same bits, and the same mask is the same bytes every time."""

from __future__ import annotations

import io
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

from service.api.mask_formats import as_npz, as_safetensors, unpack

shapes = st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4)


def stored(
    shapes: list[tuple[int, ...]], seed: int
) -> tuple[bytes, list[dict[str, Any]], dict[str, np.ndarray[Any, Any]]]:
    """Make packed bits by hand, tensor after tensor, little bit order."""
    rng = np.random.default_rng(seed)
    masks = {f"layer{i}.weight": rng.random(shape) < 0.4 for i, shape in enumerate(shapes)}
    bits = [bool(bit) for mask in masks.values() for bit in mask.ravel()]
    packed = bytes(sum(bit << k for k, bit in enumerate(bits[start : start + 8])) for start in range(0, len(bits), 8))
    layers = [{"name": name, "shape": list(mask.shape), "kept": int(mask.sum())} for name, mask in masks.items()]
    return packed, layers, masks


@given(shapes, st.integers(0, 2**32 - 1))
def test_every_form_holds_the_stored_bits(shapes: list[tuple[int, ...]], seed: int) -> None:
    packed, layers, masks = stored(shapes, seed)
    unpacked = unpack(packed, layers)
    as_tensors = load(as_safetensors(unpacked, "ab" * 32))
    arrays = np.load(io.BytesIO(as_npz(unpacked)), allow_pickle=False)
    assert list(unpacked) == list(masks)
    for name, mask in masks.items():
        assert np.array_equal(unpacked[name], mask)
        assert as_tensors[name].dtype == np.uint8
        assert np.array_equal(as_tensors[name], mask)
        assert arrays[name].dtype == np.bool_
        assert np.array_equal(arrays[name], mask)


def test_the_same_mask_is_the_same_bytes_at_any_time() -> None:
    packed, layers, _ = stored([(30, 20), (10,)], 0)
    first = unpack(packed, layers)
    files = as_npz(first), as_safetensors(first, "ab" * 32)
    time.sleep(2.1)  # zip timestamps have a resolution of two seconds
    again = unpack(packed, layers)
    assert files == (as_npz(again), as_safetensors(again, "ab" * 32))


def test_bits_that_do_not_fit_their_manifest_are_refused() -> None:
    packed, layers, _ = stored([(30, 20)], 0)
    with pytest.raises(ValueError, match="bytes"):
        unpack(packed[:-1], layers)
    layers[0]["kept"] += 1
    with pytest.raises(ValueError, match="keeps"):
        unpack(packed, layers)
    assert math.prod(layers[0]["shape"]) == 600

"""Masks as headerless bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth_core.architecture import TensorSpec, architecture
from lth_core.masks import full_mask, is_collapsed, kept_per_layer, pack_mask, packed_size_bytes, unpack_mask
from lth_core.model_spec import ModelSpec

LENET = architecture(ModelSpec(name="lenet_300_100"), (1, 28, 28), 10)


@st.composite
def networks(draw):
    shapes = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 7)), min_size=1, max_size=4))
    tensors = []
    for i, shape in enumerate(shapes):
        tensors.append(TensorSpec(f"fc{i}.weight", shape, "fc", shape[1], shape[0]))
        tensors.append(TensorSpec(f"fc{i}.bias", shape[:1], "bias", shape[1], shape[0]))
    bits = {t.name: draw(st.lists(st.booleans(), min_size=t.size, max_size=t.size)) for t in tensors if t.prunable}
    mask = {t.name: np.array(bits[t.name], dtype=np.bool_).reshape(t.shape) for t in tensors if t.prunable}
    return tuple(tensors), mask


@given(networks())
def test_unpacking_gives_back_what_was_packed_also_where_a_tensor_starts_inside_a_byte(network):
    tensors, mask = network
    data = pack_mask(mask, tensors)
    assert len(data) == packed_size_bytes(tensors) == -(-sum(m.size for m in mask.values()) // 8)
    unpacked = unpack_mask(data, tensors, kept_per_layer(mask))
    assert list(unpacked) == [t.name for t in tensors if t.prunable]
    assert all(np.array_equal(unpacked[name], mask[name]) for name in mask)


@given(networks())
def test_ten_lines_of_numpy_read_the_bits(network):
    tensors, mask = network
    bits = np.unpackbits(np.frombuffer(pack_mask(mask, tensors), np.uint8), bitorder="little")
    start = 0
    for tensor in tensors:
        if tensor.prunable:
            assert bits[start : start + tensor.size].tolist() == mask[tensor.name].ravel().astype(int).tolist()
            start += tensor.size
    assert not bits[start:].any()


@given(networks())
def test_the_order_of_a_dictionary_changes_no_bit(network):
    tensors, mask = network
    assert pack_mask(dict(reversed(mask.items())), tensors) == pack_mask(mask, tensors)


def test_lenet_has_266200_bits_in_33275_bytes():
    data = pack_mask(full_mask(LENET), LENET)
    assert len(data) == 33_275
    assert data == b"\xff" * 33_275


def test_a_transposed_mask_is_packed_in_c_order():
    tensors = (TensorSpec("fc.weight", (3, 2), "fc", 2, 3),)
    bits = np.array([[1, 0, 0], [1, 1, 0]], dtype=np.bool_).T
    assert pack_mask({"fc.weight": bits}, tensors) == bytes([0b001011])


def test_wrong_bits_are_refused():
    tensors = (TensorSpec("fc.weight", (3, 3), "fc", 3, 3),)
    data = pack_mask(full_mask(tensors), tensors)
    with pytest.raises(ValueError, match="2 bytes, got 3"):
        unpack_mask(data + b"\0", tensors)
    with pytest.raises(ValueError, match="behind the end"):
        unpack_mask(b"\xff\xff", tensors)
    with pytest.raises(ValueError, match="manifest says"):
        unpack_mask(data, tensors, {"fc.weight": 8})


def test_masks_that_do_not_fit_the_network_are_refused():
    mask = full_mask(LENET)
    with pytest.raises(ValueError, match="covers exactly"):
        pack_mask({k: v for k, v in mask.items() if k != "fc2.weight"}, LENET)
    with pytest.raises(ValueError, match="covers exactly"):
        pack_mask({**mask, "fc1.bias": np.ones(300, dtype=np.bool_)}, LENET)
    with pytest.raises(ValueError, match=r"out\.weight must be bool"):
        pack_mask({**mask, "out.weight": mask["out.weight"].T}, LENET)
    with pytest.raises(ValueError, match="must be bool"):
        pack_mask({**mask, "out.weight": np.ones((10, 100), dtype=np.uint8)}, LENET)


def test_a_mask_is_collapsed_when_one_tensor_is_empty():
    mask = full_mask(LENET)
    assert not is_collapsed(mask)
    assert is_collapsed({**mask, "out.weight": np.zeros((10, 100), dtype=np.bool_)})

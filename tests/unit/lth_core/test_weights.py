"""Digests of content and deterministic files."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from lth_core.architecture import architecture
from lth_core.initialisation import glorot_normal
from lth_core.model_spec import ModelSpec
from lth_core.weights import check_weights, content_digest, from_safetensors, to_safetensors, weights_from_safetensors

TENSORS = architecture(ModelSpec(name="mlp", sizes=(4, 5, 3)), (1, 2, 2), 3)
WEIGHTS = glorot_normal(TENSORS, 1)


def test_the_digest_is_of_length_prefixed_names_types_shapes_and_bytes():
    arrays = {"b": np.arange(3, dtype=np.float32).reshape(1, 3), "a": np.array([True, False])}
    floats = struct.pack("<3f", 0, 1, 2)
    fields = [b"a", b"bool", b"[2]", b"\x01\x00", b"b", b"float32", b"[1,3]", floats]
    joined = b"".join(struct.pack("<Q", len(field)) + field for field in fields)
    assert content_digest(arrays) == hashlib.sha256(joined).hexdigest()


def test_the_digest_is_of_content_not_of_layout():
    transposed = {name: np.asfortranarray(array) for name, array in WEIGHTS.items()}
    big_endian = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in WEIGHTS.items()}
    digest = content_digest(WEIGHTS)
    assert content_digest(dict(reversed(WEIGHTS.items()))) == digest
    assert content_digest(transposed) == digest
    assert content_digest(big_endian) == digest


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros(4, np.float32)},
        {"a": np.zeros((2, 2), np.int32)},
        {"b": np.zeros((2, 2), np.float32)},
        {"a": np.zeros((1, 4), np.float32)},
        {"a": np.array([[0, 0], [0, -0.0]], np.float32)},
        {"a": np.zeros((2, 2), np.float32), "c": np.zeros(0, np.float32)},
    ],
)
def test_name_type_shape_and_every_bit_count(other):
    assert content_digest(other) != content_digest({"a": np.zeros((2, 2), np.float32)})


def test_equal_weights_give_equal_bytes_twenty_times():
    files = {to_safetensors(dict(reversed(WEIGHTS.items())) if i % 2 else WEIGHTS) for i in range(20)}
    assert len(files) == 1


def test_a_transposed_array_survives_the_file():
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert np.array_equal(from_safetensors(to_safetensors({"a": array}))["a"], array)


def test_weights_come_back_bit_for_bit():
    loaded = weights_from_safetensors(to_safetensors(WEIGHTS), TENSORS)
    assert content_digest(loaded) == content_digest(WEIGHTS)
    assert list(loaded) == [t.name for t in TENSORS]


def test_what_does_not_fit_the_network_is_refused_before_it_is_trusted():
    renamed = {name.replace("fc1", "layer1"): array for name, array in WEIGHTS.items()}
    with pytest.raises(ValueError, match="exactly"):
        check_weights(renamed, TENSORS)
    with pytest.raises(ValueError, match=r"fc1\.weight must be float32"):
        check_weights({**WEIGHTS, "fc1.weight": WEIGHTS["fc1.weight"].T}, TENSORS)
    with pytest.raises(ValueError, match=r"out\.bias must be float32"):
        check_weights({**WEIGHTS, "out.bias": WEIGHTS["out.bias"].astype(np.float64)}, TENSORS)
    for junk in (b"", b"\x80\x04pickle", to_safetensors(WEIGHTS)[:-1]):
        with pytest.raises(ValueError, match="safetensors"):
            weights_from_safetensors(junk, TENSORS)

"""Masks and weights out of strangers' files: read as they are meant, or refused before they cost anything."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from lth_core.architecture import architecture
from lth_core.model_spec import ModelSpec
from service.api.ticket_files import read_mask, read_npz, read_rewind
from tests.support.uploads import Ticket, npz

TICKET = Ticket(sizes=(16, 5, 3), in_shape=(1, 4, 4))
SHAPES = {tensor.name: tensor.shape for tensor in TICKET.tensors}


def archive(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, data in entries:
            made.writestr(name, data)
    return file.getvalue()


def npy(array: np.ndarray[Any, Any], version: tuple[int, int] | None = None) -> bytes:
    """What numpy writes for one array."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    return file.getvalue()


def test_the_mask_is_the_same_in_every_form() -> None:
    for data in TICKET.masks().values():
        mask = read_mask(data, None, TICKET.tensors)
        assert list(mask) == list(TICKET.mask)
        assert all(np.array_equal(mask[name], own) for name, own in TICKET.mask.items())


def test_the_weights_are_the_same_in_both_forms() -> None:
    for data in TICKET.rewinds().values():
        weights = read_rewind(data, None, TICKET.tensors)
        assert list(weights) == [tensor.name for tensor in TICKET.tensors]
        assert all(np.array_equal(weights[name], own) for name, own in TICKET.rewind.items())


def test_arrays_in_fortran_order_keep_their_places() -> None:
    turned = {name: np.asfortranarray(array) for name, array in TICKET.rewind.items()}
    read = read_npz(npz(turned), SHAPES)
    assert all(np.array_equal(read[name], own) and read[name].flags.c_contiguous for name, own in TICKET.rewind.items())


def test_a_file_that_begins_like_another_form_is_read_by_its_media_type() -> None:
    tensors = architecture(ModelSpec(name="mlp", sizes=(16, 8, 2)), (1, 4, 4), 2)
    packed = b"PK\x03\x04" + bytes(14)
    with pytest.raises(ValueError, match="npz"):
        read_mask(packed, None, tensors)
    mask = read_mask(packed, "application/vnd.lth.mask", tensors)
    assert sum(int(own.sum()) for own in mask.values()) == sum(byte.bit_count() for byte in b"PK\x03\x04")


def test_bits_behind_the_end_of_a_mask_are_refused() -> None:
    packed = TICKET.masks()["packed"]
    assert sum(own.size for own in TICKET.tensors if own.prunable) % 8
    with pytest.raises(ValueError, match="behind the end"):
        read_mask(packed[:-1] + bytes([packed[-1] | 128]), None, TICKET.tensors)


def test_a_mask_of_other_numbers_than_zero_and_one_is_refused() -> None:
    for name, value in (("fc1.weight", 2), ("fc1.weight", 255)):
        masks = {key: mask.astype(np.uint8) for key, mask in TICKET.mask.items()}
        masks[name][0, 0] = value
        with pytest.raises(ValueError, match=f"{name} must hold zeros and ones, got {value}"):
            read_mask(save(masks), None, TICKET.tensors)
    with pytest.raises(ValueError, match="bool or uint8"):
        read_mask(save({key: mask.astype(np.float32) for key, mask in TICKET.mask.items()}), None, TICKET.tensors)


ONES = np.ones((5, 16), np.float32)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive([("a.npy", npy(ONES)), ("a", npy(ONES))]), "twice"),
        (archive([("b.npy", npy(ONES))]), "lacks a"),
        (archive([("a.npy", npy(ONES)), ("c/d.npy", npy(ONES))]), "'c/d'"),
        (archive([("a.npy", npy(ONES[:4]))]), "must have shape"),
        (archive([("a.npy", npy(ONES.astype(">f4")))]), "must be bool, uint8 or float32"),
        (archive([("a.npy", npy(np.full((5, 16), None)))]), "must be bool, uint8 or float32"),
        (archive([("a.npy", npy(ONES, (3, 0)))]), "another version"),
        (archive([("a.npy", npy(ONES)[:-4])]), "must have 320 bytes, got 316"),
        (archive([("a.npy", npy(ONES) + b"more")]), "must have 320 bytes"),
        (archive([("a.npy", b"\x93NUMPY\x01\x00\xff\xff")]), "array header"),
        (archive([("a.npy", b"")]), "magic string"),
        (archive([("a.npy", npy(ONES))], zipfile.ZIP_LZMA), "compressed in a way"),
        (b"PK\x03\x04 and nothing else", "no npz"),
        (archive([("a.npy", npy(ONES))])[:-30], "no npz"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_npz(data, {"a": (5, 16)})


def test_a_header_that_promises_more_than_there_is_allocates_nothing() -> None:
    header = io.BytesIO()
    promise = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(header, promise)
    with pytest.raises(ValueError, match=r"must have shape \(5, 16\), got \(1000000, 1000000\)"):
        read_npz(archive([("a.npy", header.getvalue())]), {"a": (5, 16)})


def test_an_entry_that_unpacks_to_more_than_its_array_is_not_unpacked() -> None:
    for shape in ((5, 16), (5, 1600)):
        array = np.ones(shape, np.float32)
        bomb = archive([("a.npy", npy(array) + bytes(50_000_000))], zipfile.ZIP_DEFLATED)
        assert len(bomb) < 100_000
        tracemalloc.start()
        with pytest.raises(ValueError, match=f"must have {array.nbytes} bytes, got more"):
            read_npz(bomb, {"a": shape})
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 1_000_000


def test_weights_of_another_network_are_named() -> None:
    fewer = {name: array for name, array in TICKET.rewind.items() if not name.endswith("bias")}
    with pytest.raises(ValueError, match=r"lacks fc1.bias and 1 more"):
        read_rewind(save(fewer), None, TICKET.tensors)
    with pytest.raises(ValueError, match="must be safetensors or npz"):
        read_rewind(b"\x80\x05pickle", None, TICKET.tensors)
    with pytest.raises(ValueError, match="not safetensors"):
        read_rewind(b"\x02" + bytes(7) + b"{}{}", "application/x-safetensors", TICKET.tensors)

"""Tickets from elsewhere: what was exported comes back with the same mask, and nothing is ever unpickled."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lth_core import random
from lth_core.architecture import architecture
from lth_core.canonical import sha256_hex
from lth_core.initialisation import glorot_normal
from lth_core.masks import pack_mask
from lth_core.model_spec import ModelSpec
from lth_core.networks.build import constants
from lth_core.weights import content_digest, from_safetensors
from workers.convert import convert, main
from workers.export_open_lth import export_open_lth
from workers.export_torch_prune import export_torch_prune
from workers.foreign_tickets import read_arrays
from workers.open_lth_names import naming

MODEL = ModelSpec(name="mlp", sizes=(16, 12, 8, 3))
NETWORK = (MODEL, (1, 4, 4), 3)
TENSORS = architecture(*NETWORK)


def random_mask(tensors):
    generator = np.random.default_rng(1)
    return {t.name: generator.random(t.shape) < 0.3 for t in tensors if t.prunable}


@pytest.fixture
def mask():
    return random_mask(TENSORS)


@pytest.fixture
def weights():
    return glorot_normal(TENSORS, random.seed_key(0, "init"))


def digest(mask):
    return sha256_hex(pack_mask(mask, TENSORS))


def open_lth(mask, weights, level, network=NETWORK):
    rest = constants(*network)
    named = naming(network[0], {**weights, **rest})
    return export_open_lth(named, mask, weights, rest, level=level, weights_file="model_ep0_it0.pth")


def torch_prune(mask, weights):
    return export_torch_prune(mask, weights, constants(*NETWORK), "")


def converted(path, form, out, **options):
    """Convert and return mask digest, weights and notes."""
    notes = convert(path, form, *NETWORK, out, **options)
    packed = (out / "mask.bits").read_bytes()
    return sha256_hex(packed), from_safetensors((out / "rewind.safetensors").read_bytes()), notes


def test_a_network_with_batch_norm_comes_back_as_it_was(tmp_path):
    network = (ModelSpec(name="resnet_20", width=2), (3, 8, 8), 10)
    tensors = architecture(*network)
    mask, weights = random_mask(tensors), glorot_normal(tensors, random.seed_key(0, "init"))
    pruned = export_torch_prune(mask, weights, constants(*network), "")
    for name, data, form in (
        ("a.zip", open_lth(mask, weights, 3, network), "open_lth"),
        ("b.safetensors", pruned, "torch_prune"),
    ):
        (tmp_path / name).write_bytes(data)
        assert len(convert(tmp_path / name, form, *network, tmp_path / form)) == 1
        assert (tmp_path / form / "mask.bits").read_bytes() == pack_mask(mask, tensors)
        rewind = from_safetensors((tmp_path / form / "rewind.safetensors").read_bytes())
        assert content_digest(rewind) == content_digest(weights)


def test_the_manifest_says_which_network_it_is(tmp_path, mask, weights):
    path = tmp_path / "pruned.safetensors"
    path.write_bytes(torch_prune(mask, weights))
    converted(path, "torch_prune", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == {
        "format": 1,
        "model": {"name": "mlp", "sizes": [16, 12, 8, 3]},
        "in_shape": [1, 4, 4],
        "num_classes": 3,
    }


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_ticket_exported_for_open_lth_comes_back_as_it_was(tmp_path, mask, weights, unpacked):
    data = open_lth(mask, weights, 3)
    path = tmp_path / "ticket.zip"
    path.write_bytes(data)
    if unpacked:
        path = tmp_path / "ticket"
        zipfile.ZipFile(io.BytesIO(data)).extractall(path)
    mask_sha256, rewind, notes = converted(path, "open_lth", tmp_path / "out")
    assert mask_sha256 == digest(mask)
    assert content_digest(rewind) == content_digest(weights)
    assert len(notes) == 1


def test_without_the_dense_level_masked_weights_are_taken_and_said(tmp_path, mask, weights):
    data = open_lth(mask, weights, 3)
    folder = tmp_path / "ticket"
    zipfile.ZipFile(io.BytesIO(data)).extractall(folder)
    (folder / "level_0" / "main" / "model_ep0_it0.pth").unlink()
    mask_sha256, rewind, notes = converted(folder / "level_3" / "main", "open_lth", tmp_path / "out")
    assert mask_sha256 == digest(mask)
    assert "masked" in notes[0]
    for name, bits in mask.items():
        np.testing.assert_array_equal(rewind[name], np.where(bits, weights[name], 0))


def test_of_several_levels_one_must_be_chosen(tmp_path, mask, weights):
    folder = tmp_path / "run"
    masks = {1: {name: np.ones_like(bits) for name, bits in mask.items()}, 2: mask}
    for level, own in masks.items():
        data = open_lth(own, weights, level)
        zipfile.ZipFile(io.BytesIO(data)).extractall(folder)
    with pytest.raises(ValueError, match=r"levels 1, 2: choose one by --level"):
        convert(folder, "open_lth", *NETWORK, tmp_path / "out")
    with pytest.raises(ValueError, match="no level 7, only 1, 2"):
        convert(folder, "open_lth", *NETWORK, tmp_path / "out", level=7)
    assert converted(folder, "open_lth", tmp_path / "out", level=2)[0] == digest(mask)


def test_a_ticket_exported_for_torch_prune_comes_back_as_it_was(tmp_path, mask, weights):
    path = tmp_path / "pruned.safetensors"
    path.write_bytes(torch_prune(mask, weights))
    mask_sha256, rewind, _ = converted(path, "torch_prune", tmp_path / "out")
    assert (mask_sha256, content_digest(rewind)) == (digest(mask), content_digest(weights))


def test_a_state_dict_of_a_pruned_module_is_read(tmp_path, mask, weights):
    arrays = from_safetensors(torch_prune(mask, weights))
    state = {f"module.{name}": torch.from_numpy(array.copy()) for name, array in arrays.items()}
    path = tmp_path / "pruned.pth"
    torch.save({"state_dict": state | {"module.bn.num_batches_tracked": torch.tensor(7)}, "epoch": 3}, path)
    mask_sha256, rewind, _ = converted(path, "torch", tmp_path / "out")
    assert (mask_sha256, content_digest(rewind)) == (digest(mask), content_digest(weights))


@pytest.mark.parametrize("kind", ["safetensors", "npz", "torch"])
@pytest.mark.parametrize("one_folder", [True, False])
def test_plain_masks_beside_plain_weights_are_read(tmp_path, mask, weights, kind, one_folder):
    folder = tmp_path / "ticket"
    folder.mkdir()
    suffix = "pth" if kind == "torch" else kind
    files = [folder / f"mask.{suffix}", folder / f"rewind.{suffix}"]
    for file, arrays in zip(files, ({n: m.astype(np.uint8) for n, m in mask.items()}, weights), strict=True):
        if kind == "npz":
            np.savez(file, **arrays)
        elif kind == "torch":
            torch.save({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, file)
        else:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)
    path, options = (folder, {}) if one_folder else (files[0], {"weights": files[1]})
    mask_sha256, rewind, _ = converted(path, kind, tmp_path / "out", **options)
    assert (mask_sha256, content_digest(rewind)) == (digest(mask), content_digest(weights))


def test_layers_without_a_mask_are_kept_whole_and_named(tmp_path, mask, weights):
    del mask["out.weight"]
    path = tmp_path / "pruned.safetensors"
    path.write_bytes(torch_prune(mask, weights))
    mask_sha256, _, notes = converted(path, "torch_prune", tmp_path / "out")
    assert mask_sha256 == digest(mask | {"out.weight": np.ones((3, 8), dtype=np.bool_)})
    assert notes[0] == "out.weight has no mask and is kept whole"


def test_other_types_of_weights_are_converted_and_named(tmp_path, mask, weights):
    doubled = {name: array.astype(np.float64) for name, array in weights.items()}
    path = tmp_path / "pruned.safetensors"
    path.write_bytes(torch_prune(mask, doubled))
    _, rewind, notes = converted(path, "torch_prune", tmp_path / "out")
    assert content_digest(rewind) == content_digest(weights)
    assert "fc1.weight was float64 and is float32 now" in notes


class Bomb:
    """What a malicious archive would run."""

    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("writer", ["torch", "pickle", "npz"])
def test_nothing_is_ever_unpickled(tmp_path, monkeypatch, writer):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("bomb.npz" if writer == "npz" else "bomb.pth")
    if writer == "torch":
        torch.save({"fc1.weight_mask": Bomb()}, path)
    elif writer == "pickle":
        path.write_bytes(pickle.dumps({"fc1.weight_mask": Bomb()}, protocol=2))
    else:
        np.savez(path, **{"fc1.weight_mask": np.array([Bomb()], dtype=object)})
    with pytest.raises(ValueError, match=r"plain tensors|allow_pickle"):
        read_arrays(path)
    assert not (tmp_path / "exploded").exists()


def halve(masks, weights):
    masks["fc1.weight"] *= 0.5


def forget(masks, weights):
    del weights["out.bias"]


def spoil(masks, weights):
    weights["out.bias"] = weights["out.bias"] * np.float32(np.nan)


def invent(masks, weights):
    masks["fc9.weight"] = np.ones((2, 2), np.float32)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (halve, "must hold zeros and ones only"),
        (forget, "the network has exactly"),
        (spoil, "is not finite"),
        (invent, "a mask covers exactly"),
    ],
)
def test_what_is_no_ticket_of_the_network_is_refused(tmp_path, mask, weights, change, sentence):
    masks = {name: array.astype(np.float32) for name, array in mask.items()}
    change(masks, weights)
    folder = tmp_path / "ticket"
    folder.mkdir()
    save_file(masks, folder / "mask.safetensors")
    save_file(weights, folder / "rewind.safetensors")
    with pytest.raises(ValueError, match=sentence):
        convert(folder, "safetensors", *NETWORK, tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "form", "sentence"),
    [
        (None, "npz", "does not exist"),
        ("folder", "open_lth", "has no mask.pth below it"),
        ("bytes", "open_lth", "neither a folder nor a zip"),
        ("folder", "npz", "exactly one file mask"),
        ("bytes", "npz", "must end in"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path, file, form, sentence):
    path = tmp_path / "ticket"
    if file == "folder":
        path.mkdir()
    elif file == "bytes":
        path.write_bytes(b"x")
    with pytest.raises(ValueError, match=sentence):
        convert(path, form, *NETWORK, tmp_path / "out")


def test_the_command_converts_and_says_what_it_did(tmp_path, mask, weights, capsys):
    path = tmp_path / "pruned.safetensors"
    path.write_bytes(torch_prune(mask, weights))
    words = ["--from", "torch_prune", "--in-shape", "1x4x4", "--classes", "3", "--out", str(tmp_path / "out")]
    model = json.dumps({"name": "mlp", "sizes": [16, 12, 8, 3]})
    assert main([str(path), "--model", model, *words]) == 0
    assert digest(mask) in capsys.readouterr().err
    assert main([str(path), "--model", "lenet_300_100", *words]) == 2
    assert capsys.readouterr().err

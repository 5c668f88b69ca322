"""Tickets as other frameworks write them: masks and weights by our parameter names, without unpickling anything."""

from __future__ import annotations

import pickle
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lth_core.architecture import TensorSpec
from lth_core.model_spec import ModelSpec
from lth_core.weights import from_safetensors
from workers.open_lth_names import naming

Array = npt.NDArray[np.generic]
Arrays = dict[str, Array]

FORMS = ("open_lth", "torch_prune", "safetensors", "npz", "torch")
TORCH = (".pth", ".pt", ".bin", ".ckpt")
NESTED = ("state_dict", "model_state_dict", "model")
MASK_SUFFIX, ORIG_SUFFIX = "_mask", "_orig"
_LEVEL = re.compile(r"level_(\d+)")
_WEIGHTS = re.compile(r"model_ep(\d+)_it(\d+)\.pth")


@dataclass(frozen=True)
class Foreign:
    """A ticket as it was read.

    Attributes:
        masks: Zeros and ones by parameter name.
        weights: The weights to rewind to by name.
        notes: What a reader should know of how it was read.
    """

    masks: Mapping[str, Array]
    weights: Mapping[str, Array]
    notes: Sequence[str] = field(default=())


def read_foreign(
    path: Path, form: str, model: ModelSpec, tensors: Sequence[TensorSpec], *, weights: Path | None, level: int | None
) -> Foreign:
    """Read a ticket.

    `open_lth` is a folder (or a zip of one) with `mask.pth` and `model_ep<e>_it<i>.pth`. `torch_prune` is one file
    with `<name>_orig` and `<name>_mask`, as torch.nn.utils.prune names them. `safetensors`, `npz` and `torch` are a
    folder with `mask.*` and `rewind.*`, a file of masks beside `weights`, or a file as of `torch_prune`.

    Args:
        path: File or folder.
        form: One of `FORMS`.
        model: The network, which decides names in `open_lth`.
        tensors: Its tensors.
        weights: File of the weights, where `path` holds masks only.
        level: Which level of an `open_lth` folder.

    Raises:
        ValueError: If it is none, or can only be read by unpickling.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if form == "open_lth":
        return _zipped(path, model, tensors, level) if path.is_file() else _open_lth(path, model, tensors, level)
    if path.is_dir():
        return Foreign(read_arrays(_only(path, "mask")), read_arrays(_only(path, "rewind")))
    arrays = read_arrays(path)
    if weights is not None:
        return Foreign(arrays, read_arrays(weights))
    if not any(name.endswith(MASK_SUFFIX) for name in arrays):
        raise ValueError(f"{path.name} has no <name>{MASK_SUFFIX}: name the weights' file too, by --weights")
    return _torch_prune(arrays)


def read_arrays(path: Path) -> Arrays:
    """Read named arrays from safetensors, npz or a torch archive, by the extension of the file.

    Raises:
        ValueError: If it is no such file, or holds more than arrays.
    """
    if path.suffix == ".safetensors":
        return from_safetensors(path.read_bytes())
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: np.ascontiguousarray(file[name]) for name in file.files}
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path.name} is no npz: {error}") from error
    if path.suffix in TORCH:
        return _read_torch(path)
    raise ValueError(f"{path.name} must end in .safetensors, .npz or {', '.join(TORCH)}")


def _read_torch(path: Path) -> Arrays:
    import torch

    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path.name} is no archive of plain tensors, and nothing else is loaded: {reason}") from None
    for name in NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise ValueError(f"{path.name} must hold tensors by name, a state_dict")
    arrays = {str(name): value.detach().contiguous().numpy() for name, value in loaded.items()}
    return {name.removeprefix("module."): array for name, array in arrays.items()}


def _torch_prune(arrays: Mapping[str, Array]) -> Foreign:
    masks = {name.removesuffix(MASK_SUFFIX): array for name, array in arrays.items() if name.endswith(MASK_SUFFIX)}
    lacking = [name for name in masks if name + ORIG_SUFFIX not in arrays]
    if lacking:
        raise ValueError(f"{lacking[0]}{MASK_SUFFIX} has no {lacking[0]}{ORIG_SUFFIX} beside it")
    weights = {
        name.removesuffix(ORIG_SUFFIX): array for name, array in arrays.items() if not name.endswith(MASK_SUFFIX)
    }
    return Foreign(masks, weights)


def _zipped(path: Path, model: ModelSpec, tensors: Sequence[TensorSpec], level: int | None) -> Foreign:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path.name} is neither a folder nor a zip of one: {error}") from error
        return _open_lth(Path(folder), model, tensors, level)


def _open_lth(folder: Path, model: ModelSpec, tensors: Sequence[TensorSpec], level: int | None) -> Foreign:
    """Read one level: its mask, and the weights its training starts from, unmasked where level 0 still has them."""
    place = _level_folder(folder, level)
    saved = {tuple(map(int, found.groups())): file for file in place.iterdir() if (found := _WEIGHTS.search(file.name))}
    if not saved:
        raise ValueError(f"{place} has no model_ep<epoch>_it<iteration>.pth")
    own = saved[min(saved)]
    dense = _at_level_0(place.resolve()) / own.name
    source = dense if dense.is_file() else own
    notes = [] if source == dense else ["the weights were masked: pruned positions rewind to 0"]
    shapes = {tensor.name: np.broadcast_to(np.float32(0), tensor.shape) for tensor in tensors}
    ours = {theirs: name for name, theirs in naming(model, shapes).names.items()}
    masks = {ours.get(name, name): array for name, array in read_arrays(place / "mask.pth").items()}
    weights = {ours.get(name, name): array for name, array in read_arrays(source).items()}
    return Foreign(masks, weights, notes)


def _level_folder(folder: Path, level: int | None) -> Path:
    """Return the folder of the asked-for level.

    Raises:
        ValueError: If there is none, or several to choose from.
    """
    places = {_level_of(file.parent): file.parent for file in sorted(folder.rglob("mask.pth"))}
    if not places:
        raise ValueError(f"{folder} has no mask.pth below it")
    if level is not None and level not in places:
        raise ValueError(f"{folder} has no level {level}, only {_names(places)}")
    if level is None and len(places) > 1:
        raise ValueError(f"{folder} has levels {_names(places)}: choose one by --level")
    return places[level] if level is not None else next(iter(places.values()))


def _level_of(place: Path) -> int:
    """Return the number in the innermost folder `level_<n>`, 0 where there is none."""
    numbers = [int(found[1]) for part in place.parts if (found := _LEVEL.fullmatch(part))]
    return numbers[-1] if numbers else 0


def _at_level_0(place: Path) -> Path:
    """Return the same place below `level_0`."""
    parts = list(place.parts)
    levels = [i for i, part in enumerate(parts) if _LEVEL.fullmatch(part)]
    if levels:
        parts[levels[-1]] = "level_0"
    return Path(*parts)


def _names(places: Mapping[int, Path]) -> str:
    return ", ".join(map(str, sorted(places)))


def _only(folder: Path, stem: str) -> Path:
    found = [file for file in sorted(folder.iterdir()) if file.stem == stem and file.suffix != ".json"]
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise ValueError(f"{folder} must have exactly one file {stem}.*, got {names}")
    return found[0]

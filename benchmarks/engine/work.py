"""The work all contestants do, as files: data, starting weights, masks and the order of the examples.

Everything a step depends on is drawn once and written here, so that every contestant, in whatever process or language,
computes the same steps. Needs numpy alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
Layers = list[tuple[str, tuple[int, ...], str]]
PARTS = ("validation", "test")


@dataclass(frozen=True)
class Terms:
    """What is trained, and how.

    Attributes:
        model: The network as JSON of a specification's `model`.
        train: The recipe as JSON of a specification's `train`.
        in_shape: Shape of one example, channels first.
        num_classes: Size of the output layer.
        layers: Name, shape and kind of every tensor in state_dict order.
        levels: The levels whose masks are there, 0 the dense network.
        num_replicates: How many starts and orders are there.
        data: Name and digest of the data set, and whether it is synthetic.
        device: Where contestants compute: cpu or cuda.
    """

    model: dict[str, Any]
    train: dict[str, Any]
    in_shape: tuple[int, ...]
    num_classes: int
    layers: Layers
    levels: tuple[int, ...]
    num_replicates: int
    data: dict[str, Any]
    device: str = "cpu"


@dataclass(frozen=True)
class Work:
    """A work folder, opened for reading; large arrays are mapped, not read."""

    folder: Path
    terms: Terms

    @classmethod
    def open(cls, folder: Path) -> Work:
        """Open a folder that `write` made."""
        document = json.loads((folder / "terms.json").read_text())
        layers = [(name, tuple(shape), kind) for name, shape, kind in document.pop("layers")]
        for name in ("in_shape", "levels"):
            document[name] = tuple(document[name])
        return cls(folder, Terms(layers=layers, **document))

    @property
    def batch_size(self) -> int:
        """Examples of one step of one replicate."""
        return int(self.terms.train["batch_size"])

    @property
    def eval_every(self) -> int:
        """Steps from one look at the validation set to the next."""
        return int(self.terms.train["eval_every"])

    def array(self, name: str) -> npt.NDArray[Any]:
        """Map one of `train_images`, `train_labels`, `test_images`, `test_labels`, `validation`; writes are private."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="c")

    def examples(self, part: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return images and labels of the validation or the test set."""
        if part == "test":
            return self.array("test_images"), self.array("test_labels")
        chosen = self.array("validation")
        return self.array("train_images")[chosen], self.array("train_labels")[chosen]

    def order(self, replicate: int) -> npt.NDArray[np.int32]:
        """Return the training examples of each step, [steps, batch]."""
        return np.load(self.folder / f"order-{replicate}.npy")

    def start(self, replicate: int) -> Arrays:
        """Return the unmasked starting weights of a replicate."""
        return read_arrays(self.folder / f"start-{replicate}.npz")

    def mask(self, level: int) -> Arrays | None:
        """Return what a level keeps; None at level 0, the dense network."""
        return read_arrays(self.folder / f"mask-{level}.npz") if level else None

    def kept(self, level: int) -> dict[str, int]:
        """Return how many weights each prunable tensor keeps at a level."""
        mask = self.mask(level)
        prunable = [(name, shape) for name, shape, kind in self.terms.layers if kind in ("conv", "fc", "output")]
        if mask is None:
            return {name: int(np.prod(shape)) for name, shape in prunable}
        return {name: int(mask[name].sum()) for name, _ in prunable}

    def density(self, level: int) -> float:
        """Return the share of prunable weights that a level keeps."""
        return sum(self.kept(level).values()) / sum(self.kept(0).values())


def write(
    folder: Path,
    terms: Terms,
    arrays: Mapping[str, npt.NDArray[Any]],
    starts: Sequence[Arrays],
    orders: Sequence[npt.NDArray[np.int32]],
    masks: Mapping[int, Mapping[str, npt.NDArray[np.bool_]]],
) -> Work:
    """Write a work folder and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    for replicate, (start, order) in enumerate(zip(starts, orders, strict=True)):
        write_arrays(folder / f"start-{replicate}.npz", start)
        np.save(folder / f"order-{replicate}.npy", order)
    for level, mask in masks.items():
        write_arrays(folder / f"mask-{level}.npz", mask)
    (folder / "terms.json").write_text(json.dumps(asdict(terms)))
    return Work.open(folder)


def read_arrays(path: Path) -> Arrays:
    """Read an npz file whole, without unpickling."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an npz file."""
    np.savez(path, **dict(arrays))  # type: ignore[arg-type]

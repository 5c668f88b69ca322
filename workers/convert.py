"""Bringing a ticket found elsewhere into the form of an upload: `python -m workers.convert PATH --from FORM ...`.

Runs on the client's machine, so that the service never reads a pickle: torch archives are loaded with
`weights_only=True`, which builds tensors and nothing else. Prints what it did; exit status 0 done, 2 not possible.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lth_core.architecture import TensorSpec, architecture
from lth_core.canonical import sha256_hex
from lth_core.masks import Mask, check_mask, kept_per_layer, pack_mask
from lth_core.model_spec import ModelSpec
from lth_core.networks.build import constants
from lth_core.weights import Weights, check_weights, to_safetensors
from workers.foreign_tickets import FORMS, Array, Foreign, read_foreign


def convert(
    path: Path,
    form: str,
    model: ModelSpec,
    in_shape: tuple[int, ...],
    num_classes: int,
    out: Path,
    *,
    weights: Path | None = None,
    level: int | None = None,
) -> list[str]:
    """Write a ticket of another framework as `manifest.json`, `mask.bits` and `rewind.safetensors`.

    Args:
        path: File or folder of the ticket.
        form: One of `FORMS`.
        model: Its network.
        in_shape: Shape of one example, channels first.
        num_classes: Size of its output layer.
        out: Folder for the files, made if it is missing.
        weights: File of the weights to rewind to, where they are not in `path`.
        level: Which level of an `open_lth` folder, where it has several.

    Returns:
        Sentences about everything that was not taken as it was.

    Raises:
        ValueError: If the files cannot be read without unpickling, or are no ticket of the network.
    """
    tensors = architecture(model, in_shape, num_classes)
    found = read_foreign(path, form, model, tensors, weights=weights, level=level)
    notes = list(found.notes)
    mask = _mask(found, tensors, notes)
    rewind = _weights(found, tensors, constants(model, in_shape, num_classes), notes)
    packed = pack_mask(mask, tensors)
    manifest = {
        "format": 1,
        "model": model.model_dump(mode="json", exclude_defaults=True),
        "in_shape": list(in_shape),
        "num_classes": num_classes,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    (out / "mask.bits").write_bytes(packed)
    (out / "rewind.safetensors").write_bytes(to_safetensors(rewind))
    kept, total = sum(kept_per_layer(mask).values()), sum(array.size for array in mask.values())
    return [*notes, f"{kept:,} of {total:,} weights kept, mask sha256 {sha256_hex(packed)}"]


def _mask(found: Foreign, tensors: Sequence[TensorSpec], notes: list[str]) -> Mask:
    """Return the mask, checked; prunable layers that the ticket does not speak of are kept whole."""
    mask: Mask = {name: _as_bool(name, array) for name, array in found.masks.items()}
    if not mask:
        raise ValueError("the ticket has no mask")
    for tensor in tensors:
        if tensor.prunable and tensor.name not in mask:
            mask[tensor.name] = np.ones(tensor.shape, dtype=np.bool_)
            notes.append(f"{tensor.name} has no mask and is kept whole")
    return check_mask(mask, tensors)


def _as_bool(name: str, array: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    kept = array == 1
    if not (kept | (array == 0)).all():
        raise ValueError(f"mask of {name} must hold zeros and ones only")
    return np.asarray(kept, dtype=np.bool_)


def _weights(found: Foreign, tensors: Sequence[TensorSpec], ignored: Mapping[str, Array], notes: list[str]) -> Weights:
    """Return the weights, checked; batch counters and tables that a layer computes for itself are left out."""
    weights: dict[str, Array] = {}
    for name, array in found.weights.items():
        if name in ignored or name.endswith("num_batches_tracked"):
            continue
        if array.dtype != np.float32:
            notes.append(f"{name} was {array.dtype} and is float32 now")
        weights[name] = array.astype(np.float32)
    checked = check_weights(weights, tensors)
    for name, array in checked.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds a value that is not finite")
    return checked


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m workers.convert", description=__doc__)
    parser.add_argument("path", type=Path, help="file or folder of the ticket")
    parser.add_argument("--from", dest="form", choices=FORMS, required=True, help="who wrote it")
    parser.add_argument("--weights", type=Path, help="weights to rewind to, where PATH holds the mask only")
    parser.add_argument("--level", type=int, help="level of an open_lth folder")
    parser.add_argument("--model", required=True, help="network: its name, or its JSON object")
    parser.add_argument("--in-shape", required=True, help="shape of one example, channels first: 1x28x28")
    parser.add_argument("--classes", type=int, required=True, help="size of the output layer")
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    args = parser.parse_args(argv)
    try:
        text = args.model.strip()
        model = ModelSpec.model_validate(json.loads(text) if text.startswith("{") else {"name": text})
        in_shape = tuple(int(size) for size in args.in_shape.split("x"))
        notes = convert(
            args.path, args.form, model, in_shape, args.classes, args.out, weights=args.weights, level=args.level
        )
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.write("".join(f"{note}\n" for note in notes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

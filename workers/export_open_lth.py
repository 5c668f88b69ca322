"""The export `open_lth`: a zip with mask, sparsity report and weights in the folders and names of that framework."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from workers.open_lth_names import Naming

Array = np.ndarray[Any, Any]


def model_file(rewind_step: int, num_train: int, batch_size: int) -> str:
    """Return that framework's name of the weights after a step; it counts the last, shorter batch of an epoch."""
    epoch, iteration = divmod(rewind_step, -(-num_train // batch_size))
    return f"model_ep{epoch}_it{iteration}.pth"


def export_open_lth(
    named: Naming,
    masks: Mapping[str, Array],
    rewind: Mapping[str, Array],
    constants: Mapping[str, Array],
    *,
    level: int,
    weights_file: str,
) -> bytes:
    """Return a ticket as a zip of the folders that open_lth reads.

    `level_<n>/main/` has `mask.pth` (int32), `sparsity_report.json` and the masked rewind weights; `level_0/main/`
    has the unmasked ones, from which that framework starts every level.

    Args:
        named: The names there, from `workers.open_lth_names.naming`.
        masks: Boolean arrays by our parameter names in state_dict order, True = kept.
        rewind: The weights to rewind to, all parameters and running statistics.
        constants: What else the module's `state_dict` has, such as batch counters.
        level: How often the network was pruned.
        weights_file: Name of the weights' file, from `model_file`.

    Returns:
        The bytes of the archive, the same for the same ticket and version of torch.
    """
    masked = {
        name: np.where(masks[name], weights, np.zeros_like(weights)) if name in masks else weights
        for name, weights in rewind.items()
    }
    whole, masked = {**rewind, **constants}, {**masked, **constants}
    folder = f"level_{level}/main"
    files = {
        f"{folder}/mask.pth": _archive({named.names[name]: mask.astype(np.int32) for name, mask in masks.items()}),
        f"{folder}/sparsity_report.json": _report(masks, named),
        f"{folder}/{weights_file}": _archive({named.names[name]: value for name, value in masked.items()}),
    }
    files[f"level_0/main/{weights_file}"] = _archive({named.names[name]: value for name, value in whole.items()})
    return _zip(files)


def _report(masks: Mapping[str, Array], named: Naming) -> bytes:
    total = float(sum(mask.size for mask in masks.values()))
    unpruned = float(sum(int(mask.sum()) for mask in masks.values()))
    report: dict[str, Any] = {"total": total, "unpruned": unpruned}
    if named.note is not None:
        report["note"] = named.note
    return json.dumps(report, indent=4).encode()


def _archive(arrays: Mapping[str, Array]) -> bytes:
    """Write arrays as torch does; its archives carry no time and no name, so equal arrays give equal bytes."""
    import torch

    file = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(value, order="C")) for name, value in arrays.items()}, file)
    return file.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
    return archive.getvalue()

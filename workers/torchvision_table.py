"""The table of torchvision's tensors: `python -m workers.torchvision_table` writes it, `--check` compares it.

Every classification model of the installed torchvision is built without memory; its tensors, their kinds and the
smallest examples it takes are read off it.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lth_core.architectures.torchvision_table import KINDS, TABLE, table
from lth_core.canonical import canonical_json
from lth_core.networks.materials import WithoutValues
from lth_core.networks.torchvision_models import build_torchvision
from lth_core.tensor_spec import TensorKind

PLACE = Path(__file__).parents[1] / "lth_core" / "architectures" / TABLE
SIDE = 224
"""Side of the examples that the table's tensors are for; a vision transformer's positions follow from it."""
CLASSES = 7919
"""A prime that is no other size in any model: tensors of this length belong to the output layer."""
_LETTERS = {kind: letter for letter, kind in KINDS.items()}


def main(arguments: list[str] | None = None) -> int:
    """Write the table, or compare it with the installed torchvision: 0 if they agree."""
    parser = argparse.ArgumentParser(prog="python -m workers.torchvision_table", description=__doc__)
    parser.add_argument("--check", nargs="*", metavar="ARCH", help="compare these models, or all, and write nothing")
    options = parser.parse_args(arguments)
    from torchvision import __version__, models

    names = sorted(models.list_models(module=models))
    if options.check is not None:
        known = table()["models"]
        asked = options.check or sorted({*names, *known})
        differing = [arch for arch in asked if arch not in names or known.get(arch) != entry(arch)]
        print(f"{len(asked)} models; differing: {', '.join(differing) or 'none'}")  # noqa: T201
        return 1 if differing else 0
    document = canonical_json({"torchvision": __version__.partition("+")[0], "models": {n: entry(n) for n in names}})
    PLACE.write_bytes(gzip.compress(document, compresslevel=9, mtime=0))
    print(f"{len(names)} models, {PLACE.stat().st_size} bytes")  # noqa: T201
    return 0


def entry(arch: str) -> dict[str, Any]:
    """Return what the table says of a model, read off the installed torchvision."""
    network = _build(arch)
    tensors = []
    for name, (kind, shape) in _tensors(network):
        output = shape[0] == CLASSES and len(shape) > 1
        marked = [0 if size == CLASSES else size for size in shape]
        tensors.append([name, _LETTERS["output" if output else kind], marked])
    return {"min_side": _min_side(arch, network), "tensors": tensors}


def _build(arch: str) -> nn.Module:
    with WithoutValues(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without elements, which have no values here anyway
        return build_torchvision(arch, (3, SIDE, SIDE), CLASSES, None).to("meta").eval()


def _tensors(network: nn.Module) -> Iterator[tuple[str, tuple[TensorKind, tuple[int, ...]]]]:
    """Yield name, kind and shape of what is trained or follows the batches, in state_dict order."""
    owners = {f"{path}.{name}" if path else name: part for path, part in network.named_modules() for name in _own(part)}
    parameters = dict(network.named_parameters())
    for name, value in network.state_dict().items():
        if name in parameters or name.endswith(("running_mean", "running_var")):
            yield name, (_kind(owners[name], name.rpartition(".")[2], value), tuple(value.shape))


def _own(part: nn.Module) -> list[str]:
    return [*part._parameters, *part._buffers]


def _kind(owner: nn.Module, name: str, value: torch.Tensor) -> TensorKind:
    if name in ("running_mean", "running_var"):
        return "buffer"
    if name in ("bias", "in_proj_bias"):
        return "bias"
    if isinstance(owner, nn.Conv2d):
        return "conv"
    if isinstance(owner, nn.Linear) or name == "in_proj_weight":
        return "fc"
    if isinstance(owner, nn.BatchNorm2d | nn.LayerNorm):
        return "norm"
    assert not name.endswith("weight"), (type(owner), name, value.shape)
    return "other"


def _min_side(arch: str, network: nn.Module) -> int:
    """Return the side of the smallest square examples that a model maps to logits, found by halving."""
    if arch.startswith(("vit_", "maxvit_")):
        return 1  # their sides are multiples of a patch or of windows, which the reader of the table checks
    low, high = (0, 1) if _takes(network, 1) else (1, SIDE)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _takes(network, middle) else (middle, high)
    return high


def _takes(network: nn.Module, side: int) -> bool:
    try:
        with torch.no_grad():
            network(torch.empty((1, 3, side, side), device="meta"))
    except (RuntimeError, ValueError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())

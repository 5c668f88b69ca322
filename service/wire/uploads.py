"""A ticket's files as they are uploaded: what network it belongs to, its mask, and the weights to rewind to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from service.wire.mask_file import manifest_core

MANIFEST = "manifest.json"
MASKS = ("mask.bits", "mask.safetensors", "mask.npz")
REWINDS = ("rewind.safetensors", "rewind.npz")
NETWORK = ("model", "in_shape", "num_classes")


@dataclass(frozen=True)
class TicketFiles:
    """A ticket in the form of an upload.

    Attributes:
        network: `model`, `in_shape` (channels first) and `num_classes`.
        mask: Packed bits, safetensors or npz; the service tells them apart.
        rewind: Every tensor of the network as safetensors or npz.
    """

    network: Mapping[str, Any]
    mask: bytes
    rewind: bytes

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read a folder with a manifest, a mask and rewind weights, as `lth tickets get` and `import` write them.

        Raises:
            ValueError: If a file is missing, or the manifest does not say what network it is.
        """
        try:
            document = json.loads((folder / MANIFEST).read_bytes())
        except FileNotFoundError:
            raise ValueError(f"{folder} has no {MANIFEST}") from None
        except ValueError as error:
            raise ValueError(f"{folder / MANIFEST}: {error}") from None
        return cls(network_of(document), _read_one(folder, MASKS), _read_one(folder, REWINDS))

    def parts(self) -> dict[str, tuple[str, bytes, str]]:
        """The parts of the form by name: file name, bytes, media type."""
        manifest = json.dumps({"format": 1, **self.network}).encode()
        return {
            "manifest": (MANIFEST, manifest, "application/json"),
            "mask": ("mask", self.mask, "application/octet-stream"),
            "rewind": ("rewind", self.rewind, "application/octet-stream"),
        }


def network_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The network that a manifest names, be it of an upload or of a ticket of the service.

    Raises:
        ValueError: If it names none.
    """
    core = manifest_core(document)
    named = core.get("lineage", core)
    if not isinstance(named, Mapping) or not all(name in named for name in NETWORK):
        raise ValueError(f"the manifest must name {', '.join(NETWORK)}")
    return {name: named[name] for name in NETWORK}


def _read_one(folder: Path, names: tuple[str, ...]) -> bytes:
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) != 1:
        there = ", ".join(path.name for path in found) or "none"
        raise ValueError(f"{folder} must have exactly one of {', '.join(names)}, got {there}")
    return found[0].read_bytes()

"""A ticket found elsewhere, and the forms in which a client may send it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors.numpy import save

from lth_core.architecture import TensorSpec, architecture
from lth_core.masks import Mask, kept_per_layer, pack_mask
from lth_core.model_spec import ModelSpec
from lth_core.weights import Weights
from service.api.mask_formats import as_npz

BOUNDARY = "part-of-a-ticket"


@dataclass
class Ticket:
    """A small network's mask and weights, drawn from a seed.

    Attributes:
        seed: Another seed, another ticket.
        sizes: Layers of the network.
        in_shape: Shape of one example.
    """

    seed: int = 0
    sizes: tuple[int, ...] = (64, 12, 10)
    in_shape: tuple[int, ...] = (1, 8, 8)
    tensors: tuple[TensorSpec, ...] = field(init=False)
    mask: Mask = field(init=False)
    rewind: Weights = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self.tensors = architecture(ModelSpec(name="mlp", sizes=self.sizes), self.in_shape, self.sizes[-1])
        self.mask = {own.name: random.random(own.shape) < 0.4 for own in self.tensors if own.prunable}
        self.rewind = {own.name: random.normal(size=own.shape).astype(np.float32) for own in self.tensors}

    def manifest(self, **changes: Any) -> bytes:
        """What the client says of it."""
        kept = kept_per_layer(self.mask)
        layers = [
            {"name": own.name, "shape": own.shape, "kept": kept[own.name]} for own in self.tensors if own.prunable
        ]
        said = {
            "format": 1,
            "model": {"name": "mlp", "sizes": self.sizes},
            "in_shape": self.in_shape,
            "num_classes": self.sizes[-1],
            "layers": layers,
        }
        return json.dumps({**said, **changes}).encode()

    def masks(self) -> dict[str, bytes]:
        """Its mask in every form."""
        return {
            "packed": pack_mask(self.mask, self.tensors),
            "safetensors": save({name: mask.astype(np.uint8) for name, mask in self.mask.items()}),
            "npz": as_npz(self.mask),
            "compressed npz": npz(self.mask),
        }

    def rewinds(self) -> dict[str, bytes]:
        """Its weights in every form."""
        return {"safetensors": save(self.rewind), "npz": npz(self.rewind)}

    def parts(self, **changes: bytes) -> dict[str, bytes]:
        """The parts of the form, some of them replaced."""
        own = {"manifest": self.manifest(), "mask": self.masks()["packed"], "rewind": self.rewinds()["safetensors"]}
        return {**own, **changes}


def npz(arrays: dict[str, Any]) -> bytes:
    """What `numpy.savez_compressed` writes."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def form(parts: dict[str, bytes], *, types: dict[str, str] | None = None) -> tuple[bytes, str]:
    """Return a multipart body and its content type."""
    body = b""
    for name, data in parts.items():
        media_type = (types or {}).get(name, "application/octet-stream")
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        body += f"{head}Content-Type: {media_type}\r\n\r\n".encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"

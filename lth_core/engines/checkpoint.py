"""A training between two steps, as bytes: arrays and a small document, to go on from in any process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from safetensors.numpy import load, save

from lth_core.canonical import canonical_json
from lth_core.curves import Curves
from lth_core.weights import Array

_DOCUMENT = "checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps.

    Attributes:
        plan: Digest of its plan: another plan must not go on from it.
        engine: Name of the engine that made it: another engine would go on to other bits.
        step: Updates done.
        arrays: `now.NAME`, the tensors of the network as it stands; `best.*`, its copy at the lowest validation loss;
            `optimizer.*`; `recorded.NAME` and `recorded_optimizer.*`, the same after `record_at` updates.
        curves: Every evaluation so far.
        window: What training batches have shown since the last one: sum of losses, steps, correct and all examples.
        mask: Packed mask, where it tightened on the way.
    """

    plan: str
    engine: str
    step: int
    arrays: Mapping[str, Array]
    curves: Curves
    window: tuple[float, int, int, int]
    mask: bytes | None = None

    def part(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays below a name, by the rest of theirs: `part("now")` is the network as it stands."""
        head = f"{name}."
        return {key.removeprefix(head): array for key, array in self.arrays.items() if key.startswith(head)}

    def to_bytes(self) -> bytes:
        """Return the checkpoint as one safetensors file, its document in the metadata."""
        document = {
            "plan": self.plan,
            "engine": self.engine,
            "step": self.step,
            "curves": self.curves.state(),
            "window": list(self.window),
            "mask": None if self.mask is None else self.mask.hex(),
        }
        return save(dict(self.arrays), metadata={_DOCUMENT: canonical_json(document).decode()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Checkpoint:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: If it is not a checkpoint, or cut off.
        """
        try:
            size = int.from_bytes(data[:8], "little")
            document = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_DOCUMENT])
            arrays = {name: array.copy() for name, array in load(data).items()}
            return cls._of(document, arrays)
        except Exception as error:
            raise ValueError(f"no checkpoint: {type(error).__name__}: {error}") from error

    @classmethod
    def _of(cls, document: Mapping[str, Any], arrays: dict[str, Array]) -> Checkpoint:
        loss, steps, correct, examples = document["window"]
        mask = document["mask"]
        return cls(
            plan=str(document["plan"]),
            engine=str(document["engine"]),
            step=int(document["step"]),
            arrays=arrays,
            curves=Curves.of_state(document["curves"]),
            window=(float(loss), int(steps), int(correct), int(examples)),
            mask=None if mask is None else bytes.fromhex(mask),
        )


def fitting(checkpoint: Checkpoint | None, plan: str, engine: str) -> Checkpoint | None:
    """Return a checkpoint if it is one of a plan by an engine; another one is left aside."""
    fits = checkpoint is not None and (checkpoint.plan, checkpoint.engine) == (plan, engine)
    return checkpoint if fits else None

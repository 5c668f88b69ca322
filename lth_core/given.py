"""What a control is made of: the ticket in whose place it is trained, and a random stream of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lth_core import random
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask
from lth_core.streams import purpose
from lth_core.tensor_spec import TensorSpec
from lth_core.treatments import Treatment
from lth_core.weights import Weights

if TYPE_CHECKING:
    from lth_core.data import TensorData


@dataclass(frozen=True)
class Given:
    """A control's lineage, and the ticket at one level of its chain.

    Attributes:
        lineage: The control.
        treatment: What it does.
        level: The level.
        mask: The ticket's mask.
        rewind: W_k of the dense network, unmasked.
        dense_final: W_T of the dense network, where scores need it.
        data: The data set, where scores need it.
    """

    lineage: LineageSpec
    treatment: Treatment
    level: int
    mask: Mask
    rewind: Weights
    dense_final: Weights | None = None
    data: TensorData | None = None

    @cached_property
    def tensors(self) -> Sequence[TensorSpec]:
        """The network's tensors; a tensor's place among them is part of every counter."""
        return self.lineage.tensors()

    @cached_property
    def key(self) -> int:
        """64-bit seed of the control's own stream."""
        return random.seed_key(self.lineage.replicate, purpose(self.lineage))

"""The interface of engines: a plan goes in, is trained segment by segment, and leaves what a level is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lth_core.canonical import digest_of, sha256_hex
from lth_core.curves import Curves
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.expansion import LineageSpec
from lth_core.gradual import Tightening
from lth_core.masks import Mask, pack_mask
from lth_core.optimizers import OptimizerState
from lth_core.schedules import learning_rate
from lth_core.streams import Streams
from lth_core.weights import Weights, content_digest


@dataclass(frozen=True)
class Plan:
    """One training, complete: everything that is decided before its first step.

    Steps are absolute: the schedule and the order of the data are those of a training that began at step 0, and so
    are augmentation and dropout.

    Attributes:
        lineage: Network, recipe and replicate.
        start: Weights and buffers before the first step, unmasked; pruned ones begin as zero, unless they are held.
        mask: What is kept; None trains the dense network.
        first_step: Updates that count as done.
        record_at: Step whose weights are wanted beside the final ones.
        held: Leave pruned weights at their start value instead of zero, without gradient, decay or momentum.
        tightening: Prunes further while training; early stop then looks only at the network that is pruned to its end.
        optimizer_state: What the optimizer remembers at the first step, pruned entries set to zero; None begins afresh.
        record_optimizer: Whether the optimizer's state at `record_at` is wanted too.
        rate: Learning rate of a step, instead of the recipe's schedule.
        streams: Purposes of the seeds that order and augment the data.

    Raises:
        ValueError: If a training that tightens is asked to hold pruned weights.
    """

    lineage: LineageSpec
    start: Weights
    mask: Mask | None
    first_step: int = 0
    record_at: int | None = None
    held: bool = False
    tightening: Tightening | None = None
    optimizer_state: OptimizerState | None = None
    record_optimizer: bool = False
    rate: Callable[[int], float] | None = None
    streams: Streams = field(default_factory=Streams)

    def __post_init__(self) -> None:
        if self.held and self.tightening is not None:
            raise ValueError("tightening must be None where pruned entries are held")

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of the update after `step` updates."""
        return learning_rate(self.lineage.train, step) if self.rate is None else self.rate(step)

    @property
    def digest(self) -> str:
        """SHA-256 of all that enters the bits: two plans with one digest leave the same training."""
        state = self.optimizer_state
        return digest_of(
            {
                "lineage": self.lineage.model_dump(mode="json", exclude={"keep"}),
                "start": content_digest(self.start),
                "mask": None if self.mask is None else sha256_hex(pack_mask(self.mask, self.lineage.tensors())),
                "first_step": self.first_step,
                "record_at": self.record_at,
                "record_optimizer": self.record_optimizer,
                "held": self.held,
                "tightens": None if self.tightening is None else self.tightening.final_sparsity,
                "optimizer": None if state is None else content_digest(state),
                "last_rate": self.learning_rate(self.lineage.train.steps - 1),
                "first_rate": self.learning_rate(self.first_step),
                "streams": [self.streams.order, self.streams.augment],
            }
        )


@dataclass(frozen=True)
class Trained:
    """What one training leaves behind.

    Attributes:
        start: Weights as the first step found them, before anything tightened.
        recorded: Weights after `record_at` updates, None if that step was not asked for.
        final: Weights after the last update.
        curves: Every evaluation, the test columns filled where the test set was read.
        validation_sha256: Digest of the validation indices.
        recorded_optimizer: The optimizer's state after `record_at` updates, None if it was not asked for.
        mask: What was kept at the end; None for the dense network.
    """

    start: Weights
    recorded: Weights | None
    final: Weights
    curves: Curves
    validation_sha256: str
    recorded_optimizer: OptimizerState | None = None
    mask: Mask | None = None


class Training(Protocol):
    """One plan under way: the same bits however it is cut into segments.

    Making one takes the first evaluation, unless it goes on from a checkpoint.
    """

    @property
    def engine(self) -> EngineKind:
        """Its name in manifests: equal plans leave equal bits in equal environments by engines of one name."""

    @property
    def step(self) -> int:
        """Updates done, those before `first_step` counted."""

    def advance(self, until: int) -> None:
        """Train on to `until` updates, evaluating on the way where the recipe says so.

        Raises:
            NonFiniteError: If a loss or a weight is not finite.
            LevelCancelled: If the caller asked to stop.
        """

    def checkpoint(self) -> Checkpoint:
        """Return everything that is needed to go on from here, in another process too."""

    def finish(self) -> Trained:
        """Return what the training left behind; called once, after the last step.

        Raises:
            NonFiniteError: If a loss or a weight is not finite.
            LevelCancelled: If the caller asked to stop.
        """

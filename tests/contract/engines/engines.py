"""The engines that must keep the contract: each starts a plan on the tiny data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lth_core.data import TensorData
from lth_core.engines.base import Plan, Training
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.starting import or_reference, start_training
from lth_core.model_spec import ModelSpec
from lth_core.pulse import Pulse

CONV, IMAGES = ModelSpec(name="conv_2"), (3, 8, 8)
Start = Callable[[Plan, TensorData, Pulse, Checkpoint | None], Training]


@dataclass(frozen=True)
class EngineUnderTest:
    """An engine with the network that it is tried on.

    Attributes:
        name: For the test's name.
        start_plan: Begins a plan.
        model: The network; None is a small fully connected one.
        shape: Of one example.
        runs_here: False where the machine lacks what it needs.
        noisy_share: Share of weights that may leave 1e-5 under Adam with a fresh state, which divides a gradient by its
            own size, also one that is nothing but the rounding of a sum. In a convolution on small images two orders of
            one sum are enough; each is as far from the same steps in double precision as the other.
        flipped_share: Share that may leave it under another optimizer: an activation that is nearly 0 may be on its
            other side, and what its unit learns from one example with it.
        stops_within: Steps after which a training that is told to stop has stopped.
        is_slow: Whether fewer recipes and densities have to do.
    """

    name: str
    start_plan: Start
    model: ModelSpec | None = None
    shape: tuple[int, ...] = (1, 4, 4)
    runs_here: bool = True
    noisy_share: float = 0.0
    flipped_share: float = 0.0
    stops_within: int = 60
    is_slow: bool = False

    def start(self, plan: Plan, data: TensorData, pulse: Pulse, checkpoint: Checkpoint | None = None) -> Training:
        """Begin a plan, or go on with it."""
        return self.start_plan(plan, data, pulse, checkpoint)


def _kind(kind: EngineKind) -> Start:
    return lambda plan, data, pulse, checkpoint: start_training(plan, data, pulse, engine=kind, checkpoint=checkpoint)


_SHARES = {"noisy_share": 0.06, "flipped_share": 1e-5}
_IMAGES_ENGINE = {"model": CONV, "shape": IMAGES, "is_slow": True, **_SHARES}
_BRANCHES = {**_IMAGES_ENGINE, "model": ModelSpec(name="conv_2", dropout=0.5), "stops_within": 500}
ENGINES = (
    EngineUnderTest("reference", _kind("reference")),
    EngineUnderTest("cpu", _kind("cpu"), runs_here=or_reference("cpu") == "cpu"),
    EngineUnderTest("conv", _kind("conv"), **_IMAGES_ENGINE),  # type: ignore[arg-type]
    EngineUnderTest("pack", _kind("pack"), stops_within=500),
    EngineUnderTest("pack_maps", _kind("pack"), stops_within=500, **_IMAGES_ENGINE),  # type: ignore[arg-type]
    EngineUnderTest("pack_branches", _kind("pack"), **_BRANCHES),  # type: ignore[arg-type]
)

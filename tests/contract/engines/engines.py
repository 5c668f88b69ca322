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

Start = Callable[[Plan, TensorData, Pulse, Checkpoint | None], Training]


@dataclass(frozen=True)
class EngineUnderTest:
    """An engine with the network that it is tried on; `runs_here` is false where the machine lacks what it needs."""

    name: str
    start_plan: Start
    model: ModelSpec | None = None
    shape: tuple[int, ...] = (1, 4, 4)
    runs_here: bool = True

    def start(self, plan: Plan, data: TensorData, pulse: Pulse, checkpoint: Checkpoint | None = None) -> Training:
        """Begin a plan, or go on with it."""
        return self.start_plan(plan, data, pulse, checkpoint)


def _kind(kind: EngineKind) -> Start:
    return lambda plan, data, pulse, checkpoint: start_training(plan, data, pulse, engine=kind, checkpoint=checkpoint)


ENGINES = (
    EngineUnderTest("reference", _kind("reference")),
    EngineUnderTest("cpu", _kind("cpu"), runs_here=or_reference("cpu") == "cpu"),
)

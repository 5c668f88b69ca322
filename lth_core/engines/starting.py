"""A plan becomes a training: of the engine that its lineage names, or of the reference where that one cannot run."""

from __future__ import annotations

from lth_core.data import TensorData
from lth_core.engines.base import Plan, Training
from lth_core.engines.checkpoint import Checkpoint, fitting
from lth_core.engines.choice import EngineKind, engine_of
from lth_core.engines.conv.training import ConvTraining
from lth_core.engines.cpu import training as cpu
from lth_core.engines.pack.alone import PackTraining
from lth_core.pulse import Pulse
from lth_core.training import ReferenceTraining


def or_reference(wanted: EngineKind) -> EngineKind:
    """Return an engine, or the reference where this machine cannot run it."""
    return wanted if wanted != "cpu" or cpu.can_run() else "reference"


def engine_of_plan(plan: Plan) -> EngineKind:
    """Return which engine trains a plan on this machine."""
    lineage = plan.lineage
    return or_reference(
        engine_of(
            lineage.model,
            lineage.train,
            lineage.device_class,
            held=plan.held,
            tightens=plan.tightening is not None,
            wanted=lineage.engine,
        )
    )


def start_training(
    plan: Plan,
    data: TensorData,
    pulse: Pulse,
    *,
    engine: EngineKind | None = None,
    checkpoint: Checkpoint | None = None,
) -> Training:
    """Begin a plan, or go on with it.

    Args:
        plan: What is trained.
        data: The data set, on the device that trains.
        pulse: Hears of every step, and may end the training.
        engine: Which engine trains; None leaves it to the plan.
        checkpoint: Where an earlier training of it had come to; one of another plan or engine is left aside.

    Raises:
        NonFiniteError: If the loss at the start is not finite.
        LevelCancelled: If the caller asked to stop.
        ValueError: If the plan does not fit the network, or the engine.
    """
    kind = engine or engine_of_plan(plan)
    checkpoint = fitting(checkpoint, plan.digest, kind)
    if kind == "cpu":
        return cpu.CpuTraining(plan, data, pulse, checkpoint)
    if kind == "conv":
        return ConvTraining(plan, data, pulse, checkpoint)
    if kind == "pack":
        return PackTraining(plan, data, pulse, checkpoint)
    return ReferenceTraining(plan, data, pulse, checkpoint)

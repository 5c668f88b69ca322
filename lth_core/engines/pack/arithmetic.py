"""The arithmetic of a pack, chosen by its shape and its device alone."""

from __future__ import annotations

from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import PackShape
from lth_core.engines.pack.state import PackState
from lth_core.engines.pack.steps import Steps


def build_steps(shape: PackShape, state: PackState, data: ResidentData) -> Steps:
    """Make the steps of a pack. Triton is imported only where its kernels run."""
    if shape.variant == "branches":
        from lth_core.engines.pack.branches import BranchSteps

        return BranchSteps(shape, state, data)
    if shape.variant == "own" and state.device.type == "cuda":
        from lth_core.engines.pack.triton_steps import TritonSteps

        return TritonSteps(shape, state, data)
    from lth_core.engines.pack.torch_steps import TorchSteps

    return TorchSteps(shape, state, data)

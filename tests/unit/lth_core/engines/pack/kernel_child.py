"""Run in a process of its own: Triton kernels beside their plain forms, interpreted, or compiled for a GPU not there.

    python -m tests.unit.lth_core.engines.pack.kernel_child interpret|compile

`interpret` needs TRITON_INTERPRET=1 in the environment. The answer is one JSON document on standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from lth_core.architecture import architecture
from lth_core.determinism import pin
from lth_core.engines.pack import kernels
from lth_core.engines.pack.layout import num_elements
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import NUM_MOMENTS, OptimizerKind, PackShape
from lth_core.engines.pack.source import test_source as source_of_test_set
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.torch_steps import TorchSteps
from lth_core.engines.pack.triton_steps import TritonSteps
from lth_core.model_spec import ModelSpec

CPU = torch.device("cpu")
LENET = (784, 300, 100, 10)
CASES: list[tuple[tuple[int, ...], int, OptimizerKind]] = [
    (LENET, 60, "adam"),
    ((20, 33, 3), 7, "adam"),
    ((20, 33, 3), 7, "momentum"),
    ((17, 3), 70, "sgd"),
]
HEALTHY, SICK, INACTIVE = 0, 1, 2


def made(sizes: tuple[int, ...], batch: int, kind: OptimizerKind) -> tuple[PackShape, PackState, ResidentData]:
    """A pack of four slots in the middle of training: the second has a NaN, the third does not train."""
    draw = torch.Generator().manual_seed(3)
    model = ModelSpec(name="mlp", sizes=sizes)
    tensors = architecture(model, (1, 1, sizes[0]), sizes[-1])
    shape = PackShape(model, tensors, (1, 1, sizes[0]), sizes[-1], "made", "standard", batch, kind, "own")
    state = PackState(4, num_elements(tensors), 0, NUM_MOMENTS[kind], 3, batch, CPU)
    num = state.num_parameters
    state.keep[:, :num] = torch.rand(4, num, generator=draw) < 0.5
    state.weights[:, :num] = (torch.randn(4, num, generator=draw) * 0.1).masked_fill(~state.keep[:, :num], 0)
    for moment in state.moments:
        moment[:, :num] = (torch.rand(4, num, generator=draw) * 0.01).masked_fill(~state.keep[:, :num], 0)
    state.weights[SICK, 3] = float("nan")
    state.decay.copy_(torch.tensor([0.0, 0.1, 0.0, 0.2]))
    state.smoothing.copy_(torch.tensor([0.1, 0.0, 0.2, 0.0]))
    state.momentum.fill_(0.9)
    state.rates.copy_(torch.tensor([0.01, 0.5, 0.999]))
    images = [torch.randint(0, 256, (n, sizes[0]), generator=draw).to(torch.uint8) for n in (50, 37)]
    labels = [torch.randint(0, sizes[-1], (n,), generator=draw).to(torch.int32) for n in (50, 37)]
    table = torch.linspace(-1, 1, 256)[None].contiguous()
    state.order.copy_(torch.randint(0, 50, state.order.shape, generator=draw).to(torch.int32))
    scales = [torch.rand(n, generator=draw) + 0.5 for n in (50, 37)]
    parts = (images[0], labels[0], scales[0], images[1], labels[1], scales[1])
    return shape, state, ResidentData(*parts, table, sizes[0])


def after(steps_of: Any, sizes: tuple[int, ...], batch: int, kind: OptimizerKind) -> dict[str, torch.Tensor]:
    """Everything that one or two steps and a batch of the test set change."""
    shape, state, data = made(sizes, batch, kind)
    before = state.weights.clone()
    steps = steps_of(shape, state, data)
    is_large = sizes == LENET  # the interpreter is slow
    state.clock.start([1, 0, 0, 0] if is_large else [2, 1, 0, 1])
    for _ in range(1 if is_large else 2):
        steps.train()
    source = source_of_test_set(data, 4)
    judged = Clock(source.num_batches, 4, CPU)
    judged.start([0, 0, 0, 0] if is_large else [1, 1, 0, 1])
    steps.judge(source, judged)
    num = state.num_parameters
    found = {"weights": state.weights[:, :num], "before": before[:, :num], "losses": state.clock.losses.T}
    found |= {f"moment {i}": moment[:, :num] for i, moment in enumerate(state.moments)}
    found |= {"correct": state.clock.correct.T, "scores": judged.losses.T, "right": judged.correct.T}
    return {name: tensor.double() for name, tensor in found.items()}


def interpret() -> list[dict[str, Any]]:
    """Compare kernels to plain torch, slot by slot."""
    answers = []
    for sizes, batch, kind in CASES:
        plain, ours = (after(steps, sizes, batch, kind) for steps in (TorchSteps, TritonSteps))
        well = [HEALTHY] if sizes == LENET else [HEALTHY, 3]
        errors = {name: float((ours[name][well] - plain[name][well]).abs().max()) for name in plain}
        answers.append(
            {
                "case": f"{sizes} {kind}",
                "errors": errors,
                "moved": float((ours["weights"][well] - ours["before"][well]).abs().max()),
                "inactive moved": float((ours["weights"][INACTIVE] - ours["before"][INACTIVE]).abs().max()),
                "sick is nan": sizes == LENET or bool(ours["losses"][SICK, 0].isnan()),
                "well are finite": bool(torch.stack([ours["weights"][slot] for slot in well]).isfinite().all()),
            }
        )
    return answers


class Recorder:
    """Stands where a kernel is and notes what it would have been launched with."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.launches: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *args, **options: self.launches.append((args, options))


def compile_all() -> list[str]:
    """Compile every launch of a step and an evaluation for compute capability 9.0; return the names."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile  # noqa: A004 - Triton's name for it

    names = ["forward_kernel", "loss_kernel", "backward_kernel", "update_kernel"]
    recorders = {name: Recorder(getattr(kernels, name)) for name in names}
    for name, recorder in recorders.items():
        setattr(kernels, name, recorder)
    shape, state, data = made((784, 300, 10), 60, "adam")
    steps = TritonSteps(shape, state, data)
    steps.train()
    recorders["forward_kernel"].launches.clear()  # those of an evaluation are the same but for the rows
    steps.judge(source_of_test_set(data, 4), Clock(1, 4, CPU))
    types = {torch.float32: "*fp32", torch.int32: "*i32", torch.uint8: "*u8"}
    done = []
    for name, recorder in recorders.items():
        for args, options in recorder.launches:
            own = recorder.kernel.arg_names
            given = dict(zip(own, args, strict=False))
            compiled_with = {key: options[key] for key in ("num_warps", "enable_fp_fusion")}
            signature = {key: types[value.dtype] if torch.is_tensor(value) else "i32" for key, value in given.items()}
            constants = {key: value for key, value in options.items() if key not in compiled_with}
            signature |= dict.fromkeys(constants, "constexpr")
            aligned = [["tt.divisibility", 16]]
            source = ASTSource(
                fn=recorder.kernel,
                signature={key: signature[key] for key in own},
                constexprs={(own.index(key),): value for key, value in constants.items()},
                attrs={(own.index(key),): aligned for key, value in given.items() if torch.is_tensor(value)},
            )
            compiled = compile(source, target=GPUTarget("cuda", 90, 32), options=compiled_with)
            assert compiled.asm["cubin"]
            done.append(name)
    return done


if __name__ == "__main__":
    pin(1)
    json.dump(interpret() if sys.argv[1] == "interpret" else compile_all(), sys.stdout)

"""Run in a process of its own: Triton kernels beside their plain forms, interpreted, or compiled for a GPU not there.

    python -m tests.unit.lth_core.engines.pack.kernel_child interpret|sums|compile

`interpret` and `sums` need TRITON_INTERPRET=1 in the environment. The answer is one JSON document on standard output.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

import torch

from lth_core.architecture import architecture
from lth_core.determinism import pin
from lth_core.engines.pack import conv_kernels, kernels, pool_kernels, update_kernels
from lth_core.engines.pack.launches import Updates
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import NUM_MOMENTS, OptimizerKind, PackShape
from lth_core.engines.pack.source import test_source as source_of_test_set
from lth_core.engines.pack.stages import layers_of
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.steps import Steps
from lth_core.engines.pack.torch_steps import TorchSteps
from lth_core.engines.pack.triton_steps import TritonSteps
from lth_core.model_spec import ModelSpec
from tests.support.triton_children import compiled, recorded

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A network in the middle of training; a large one takes one step in one slot, because the interpreter is slow."""

    model: ModelSpec
    in_shape: tuple[int, int, int]
    batch_size: int
    kind: OptimizerKind
    is_large: bool = False


def mlp(*sizes: int) -> tuple[ModelSpec, tuple[int, int, int]]:
    """A fully connected network and the shape of its examples."""
    return ModelSpec(name="mlp", sizes=sizes), (1, 1, sizes[0])


CASES = [
    Case(*mlp(784, 300, 100, 10), 60, "adam", is_large=True),
    Case(*mlp(20, 33, 3), 7, "adam"),
    Case(*mlp(20, 33, 3), 7, "momentum"),
    Case(*mlp(17, 3), 70, "sgd"),
    Case(ModelSpec(name="conv_2"), (2, 5, 6), 4, "adam", is_large=True),
    Case(ModelSpec(name="conv_4"), (1, 4, 5), 3, "momentum", is_large=True),
]
COMPILED = [Case(*mlp(784, 300, 10), 60, "adam"), Case(ModelSpec(name="conv_2"), (3, 32, 32), 2, "momentum")]
HEALTHY, SICK, INACTIVE = 0, 1, 2
DENSITIES = [0.5, 0.9, 0.2, 0.05]


def made(case: Case) -> tuple[PackShape, PackState, ResidentData, Any]:
    """A pack of four slots in the middle of training: the second has a NaN, the third does not train.

    The last one returned gives the steps their masks and moments.
    """
    draw, in_shape, num_classes = torch.Generator().manual_seed(3), case.in_shape, (case.model.sizes or (3,))[-1]
    tensors = architecture(case.model, in_shape, num_classes)
    batch, kind = case.batch_size, case.kind
    shape = PackShape(case.model, tensors, in_shape, num_classes, "made", "standard", batch, kind, "own")
    state = PackState(4, shape.arrangement(), 0, 3, batch, CPU)
    num, num_inputs = state.num_parameters, math.prod(in_shape)
    keep = torch.rand(4, num, generator=draw) < torch.tensor(DENSITIES)[:, None]
    for layer in layers_of(shape.stages()):
        keep[:, layer.bias : layer.bias + layer.outputs] = True
    size = 0.1 if case.model.name == "mlp" else 0.05
    weights = (torch.randn(4, num, generator=draw) * size).masked_fill(~keep, 0)
    moments = [(torch.rand(4, num, generator=draw) * 0.01).masked_fill(~keep, 0) for _ in range(NUM_MOMENTS[kind])]
    for slot in range(4):
        state.write_parameters(slot, state.weights, weights[slot].numpy())
    state.weights[SICK, 3] = float("nan")
    state.decay.copy_(torch.tensor([0.0, 0.1, 0.0, 0.2]))
    state.smoothing.copy_(torch.tensor([0.1, 0.0, 0.2, 0.0]))
    state.momentum.fill_(0.9)
    state.rates.copy_(torch.tensor([0.01, 0.5, 0.999]))
    images = [torch.randint(0, 256, (n, num_inputs), generator=draw).to(torch.uint8) for n in (50, 37)]
    labels = [torch.randint(0, num_classes, (n,), generator=draw).to(torch.int32) for n in (50, 37)]
    table = torch.linspace(-1, 1, 256)[None].repeat(in_shape[0], 1) + torch.arange(in_shape[0])[:, None]
    state.order.copy_(torch.randint(0, 50, state.order.shape, generator=draw).to(torch.int32))
    scales = [torch.rand(n, generator=draw) + 0.5 for n in (50, 37)]
    parts = (images[0], labels[0], scales[0], images[1], labels[1], scales[1])

    def remember(steps: Steps) -> None:
        for slot in range(4):
            steps.moments.load(slot, keep[slot].numpy(), [moment[slot].numpy() for moment in moments])

    return shape, state, ResidentData(*parts, table, num_inputs // in_shape[0]), remember


def after(steps_of: Any, case: Case) -> dict[str, torch.Tensor]:
    """Everything that one or two steps and a batch of the test set change."""
    shape, state, data, remember = made(case)
    before = state.weights.clone()
    steps = steps_of(shape, state, data)
    remember(steps)
    state.clock.start([1, 0, 0, 0] if case.is_large else [2, 1, 0, 1])
    for _ in range(1 if case.is_large else 2):
        steps.train()
    source = source_of_test_set(data, 4)
    judged = Clock(source.num_batches, 4, CPU)
    judged.start([0, 0, 0, 0] if case.is_large else [1, 1, 0, 1])
    steps.judge(source, judged)
    num = state.num_parameters
    found = {"weights": state.weights[:, :num], "before": before[:, :num], "losses": state.clock.losses.T}
    for i in range(NUM_MOMENTS[case.kind]):
        found |= {f"moment {i}": torch.stack([torch.from_numpy(steps.moments.read(slot)[i]) for slot in range(4)])}
    found |= {"correct": state.clock.correct.T, "scores": judged.losses.T, "right": judged.correct.T}
    return {name: tensor.double() for name, tensor in found.items()}


def interpret() -> list[dict[str, Any]]:
    """Compare kernels to plain torch, slot by slot."""
    answers = []
    for case in CASES:
        plain, ours = (after(steps, case) for steps in (TorchSteps, TritonSteps))
        well = [HEALTHY] if case.is_large else [HEALTHY, 3]
        errors = {name: float((ours[name][well] - plain[name][well]).abs().max()) for name in plain}
        answers.append(
            {
                "case": f"{case.model} {case.kind}",
                "errors": errors,
                "moved": float((ours["weights"][well] - ours["before"][well]).abs().max()),
                "inactive moved": float((ours["weights"][INACTIVE] - ours["before"][INACTIVE]).abs().max()),
                "sick is nan": case.is_large or bool(ours["losses"][SICK, 0].isnan()),
                "well are finite": bool(torch.stack([ours["weights"][slot] for slot in well]).isfinite().all()),
            }
        )
    return answers


def updated_by_sums(by_kernel: bool) -> torch.Tensor:
    """Weights and moments of four slots after an update by gradients in three parts; the third slot is inactive."""
    case = Case(*mlp(70, 33), 1, "adam")
    shape, state, data, remember = made(case)
    steps = TritonSteps(shape, state, data)
    remember(steps)
    [layer] = layers_of(shape.stages())
    draw = torch.Generator().manual_seed(5)
    sums = torch.randn(4, 3, layer.outputs, layer.inputs, generator=draw)
    bias_sums = torch.randn(4, 3, layer.outputs, generator=draw)
    state.clock.start([1, 1, 0, 1])
    if by_kernel:
        Updates([layer], case.kind, state, steps.moments, data).from_sums(layer, sums, bias_sums)
    else:
        gradient = torch.zeros_like(state.weights)
        gradient[:, : layer.bias] = sums.sum(1).flatten(1)
        gradient[:, layer.bias : layer.bias + layer.outputs] = bias_sums.sum(1)
        for slot in state.clock.running():
            steps.moments.update(gradient[slot : slot + 1], slice(slot, slot + 1))
    found = [torch.from_numpy(vector) for slot in range(4) for vector in steps.moments.read(slot)]
    return torch.cat([state.weights.flatten(), *found])


def compare_sums() -> dict[str, float]:
    """Compare an update by partial sums to plain torch, NaN for NaN."""
    ours, theirs = (updated_by_sums(by_kernel) for by_kernel in (True, False))
    error = (ours - theirs).abs().nan_to_num().max()
    return {"error": float(error), "nan elsewhere": float((ours.isnan() != theirs.isnan()).sum())}


def compile_all() -> list[str]:
    """Compile every launch of a step and an evaluation for compute capability 9.0; return the names."""
    recorders = recorded(kernels, ("forward_kernel", "loss_kernel", "backward_kernel"))
    recorders |= recorded(update_kernels, ("update_kernel", "update_by_sums_kernel"))
    recorders |= recorded(conv_kernels, ("conv_forward_kernel", "conv_backward_kernel", "conv_gradient_kernel"))
    recorders |= recorded(pool_kernels, ("pool_kernel", "unpool_kernel"))
    for case in COMPILED:
        shape, state, data, _ = made(case)
        steps = TritonSteps(shape, state, data)
        steps.train()
        recorders["forward_kernel"].launches.clear()  # those of an evaluation are the same but for the rows
        steps.judge(source_of_test_set(data, 4), Clock(1, 4, CPU))
    done = []
    for name in ("forward_kernel", "loss_kernel", "backward_kernel", "update_kernel", "update_by_sums_kernel"):
        for args, options in recorders[name].launches:
            compiled(recorders[name].kernel, args, options)
            done.append(name)
    return done


if __name__ == "__main__":
    pin(1)
    modes = {"interpret": interpret, "sums": compare_sums, "compile": compile_all}
    json.dump(modes[sys.argv[1]](), sys.stdout)

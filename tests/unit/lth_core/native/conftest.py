"""Networks of a few hundred weights, the same by plain torch autograd, and examples for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.native import compiled
from lth_core.native.network import NativeNetwork, NativeOptimizer
from lth_core.optimizers import Adam, Sgd
from tests.support.requires import require

ADAM = NativeOptimizer("adam")


@pytest.fixture(scope="session", autouse=True)
def _kernels():
    require(compiled.available(), compiled.reason() or "")


@dataclass(frozen=True)
class Case:
    """One training: network, masks, examples and batches, all from one seed."""

    sizes: tuple[int, ...] = (50, 33, 21, 5)
    densities: tuple[float, ...] = (1.0, 1.0, 1.0)
    batch_size: int = 60
    optimizer: NativeOptimizer = ADAM
    smoothing: float = 0.0
    lr: float = 0.0012
    steps: int = 20
    seed: int = 0

    def with_(self, **changes: object) -> Case:
        return replace(self, **changes)

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    @property
    def masks(self) -> list[np.ndarray | None]:
        rng = np.random.default_rng([self.seed, 1])
        shapes = [(b, a) for a, b in pairwise(self.sizes)]
        return [None if d == 1 else rng.random(s) < d for s, d in zip(shapes, self.densities, strict=True)]

    @property
    def start(self) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 2])
        parts = [(rng.standard_normal(a * b + b) * np.sqrt(2 / (a + b))) for a, b in pairwise(self.sizes)]
        return np.concatenate(parts).astype(np.float32)

    @property
    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, 3])
        labels = rng.integers(0, self.sizes[-1], 300).astype(np.int32)
        return rng.standard_normal((300, self.sizes[0])).astype(np.float32), labels

    @property
    def order(self) -> np.ndarray:
        return np.random.default_rng([self.seed, 4]).integers(0, 300, (self.steps, self.batch_size)).astype(np.int32)

    @property
    def rates(self) -> np.ndarray:
        return self.lr * 0.99 ** np.arange(self.steps)

    def network(self) -> NativeNetwork:
        net = NativeNetwork(self.sizes, self.masks, self.batch_size, self.optimizer, self.smoothing)
        net.load(self.start)
        return net

    def train(self, net: NativeNetwork, first: int = 0, last: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        return net.train(*self.examples, self.order[first:last], self.rates[first:last], first)


@dataclass(frozen=True)
class Outcome:
    weights: np.ndarray
    state: dict[str, np.ndarray]
    losses: np.ndarray
    correct: np.ndarray


def split(vector: torch.Tensor, sizes: Sequence[int]) -> list[torch.Tensor]:
    """Views of a flat vector: weight, bias, weight, bias ..."""
    parts = vector.split([n for a, b in pairwise(sizes) for n in (a * b, b)])
    shapes = [s for a, b in pairwise(sizes) for s in ((b, a), (b,))]
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def logits(images: torch.Tensor, parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    hidden = images
    for i in range(0, len(parameters), 2):
        hidden = F.linear(hidden if i == 0 else hidden.relu(), parameters[i], parameters[i + 1])
    return hidden


def by_autograd(case: Case) -> Outcome:
    """The same training by plain torch, with the optimizers of `lth_core.optimizers`."""
    vector = torch.from_numpy(case.start)
    keep = torch.ones_like(vector)
    for part, mask in zip(split(keep, case.sizes)[::2], case.masks, strict=True):
        if mask is not None:
            part.copy_(torch.from_numpy(mask))
    vector.mul_(keep)
    chosen = case.optimizer
    kind: Callable[..., Adam | Sgd] = (
        Adam if chosen.kind == "adam" else lambda v, **k: Sgd(v, momentum=chosen.momentum, **k)
    )
    optimizer = kind(vector, weight_decay=chosen.weight_decay, decoupled=chosen.decoupled)
    images, labels = (torch.from_numpy(part) for part in case.examples)
    losses, correct = [], []
    for step, lr in zip(torch.from_numpy(case.order).long(), case.rates, strict=True):
        parameters = [part.detach().requires_grad_() for part in split(vector, case.sizes)]
        found, wanted = logits(images[step], parameters), labels[step].long()
        loss = F.cross_entropy(found, wanted, label_smoothing=case.smoothing)
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, parameters)]) * keep
        optimizer.step(gradient, float(lr))
        vector.mul_(keep)
        losses.append(loss.item())
        correct.append(int((found.argmax(1) == wanted).sum()))
    state = {name: tensor.numpy() for name, tensor in optimizer.named_state().items() if tensor.ndim}
    return Outcome(vector.numpy(), state, np.array(losses), np.array(correct))


@pytest.fixture
def case() -> Case:
    return Case()


@pytest.fixture
def reference() -> Callable[[Case], Outcome]:
    return by_autograd

"""The honest single replicate: tensors resident, torch's own layers and autograd, the fused optimizer, masks in place.

Options: `layout` channels_last; `mode` compile (torch.compile of the network) or graph (one CUDA graph per step).
"""

from __future__ import annotations

import argparse
from itertools import cycle

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from benchmarks.engine.protocol import AbsentError, Stepper, serve
from benchmarks.engine.work import PARTS, Arrays, Work
from lth_core.model_spec import ModelSpec
from lth_core.networks.build import build_network

EVAL_BATCH = 500


class Autograd(Stepper):
    """One replicate by plain autograd."""

    def __init__(self, work: Work, *, layout: str = "", mode: str = "") -> None:
        torch.set_num_threads(1)
        self._work, self._mode = work, mode
        self._device = torch.device(work.terms.device)
        self._format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        model = ModelSpec.model_validate(work.terms.model)
        network = build_network(model, work.terms.in_shape, work.terms.num_classes)
        self._network = network.to(self._device).to(memory_format=self._format)
        self._call: nn.Module = torch.compile(network) if mode == "compile" else network  # type: ignore[assignment]
        self._images = self._to_device(torch.from_numpy(work.array("train_images")))
        self._labels = torch.from_numpy(work.array("train_labels")).to(self._device)
        self._parts = {part: self._part(part) for part in PARTS}
        self._order = torch.from_numpy(work.order(0)).to(self._device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def begin(self, level: int, evaluate: bool) -> None:
        """See `Stepper.begin`."""
        state = {name: torch.from_numpy(value) for name, value in self._work.start(0).items()}
        self._network.load_state_dict(state, strict=False)
        named = dict(self._network.named_parameters())
        mask = self._work.mask(level) or {}
        kept = {name: torch.from_numpy(bits).to(self._device, torch.float32) for name, bits in mask.items()}
        self._masked = [named[name].data for name in kept]
        self._kept = [kept[name].to(memory_format=self._memory(kept[name])) for name in kept]
        self._mask_weights()
        self._optimizer = self._fresh_optimizer()
        self._network.train()
        self._evaluate, self._done, self._best = evaluate, 0, float("inf")
        self._batches = iter(cycle(self._order.unbind()))
        if self._mode == "graph":
            self._capture()

    def advance(self, steps: int) -> None:
        """See `Stepper.advance`."""
        for _ in range(steps):
            chosen = next(self._batches)
            if self._graph is None:
                self._step(chosen)
            else:
                self._chosen.copy_(chosen)
                self._graph.replay()
            self._done += 1
            if self._evaluate and self._done % self._work.eval_every == 0:
                self._look()

    def score_test_set(self) -> None:
        """See `Stepper.score_test_set`."""
        self._score("test")

    def weights(self) -> list[Arrays]:
        """See `Stepper.weights`."""
        names = {name for name, _, _ in self._work.terms.layers}
        state = self._network.state_dict()
        return [{name: value.cpu().numpy().copy() for name, value in state.items() if name in names}]

    def synchronise(self) -> None:
        """See `Stepper.synchronise`."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _step(self, chosen: Tensor) -> None:
        images, labels = self._images.index_select(0, chosen), self._labels.index_select(0, chosen)
        images = images.contiguous(memory_format=self._memory(images))
        self._optimizer.zero_grad(set_to_none=self._mode != "graph")
        F.cross_entropy(self._call(images), labels).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._mask_weights()

    def _mask_weights(self) -> None:
        # pruned weights take no part in any product while they are zero, so what their moments hold is of no effect
        if self._masked:
            torch._foreach_mul_(self._masked, self._kept)

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        train = self._work.terms.train
        parameters = list(self._network.parameters())
        if train["optimizer"] == "adam":
            lr = torch.tensor(train["lr"]) if self._mode == "graph" else train["lr"]
            capturable = self._mode == "graph"
            return torch.optim.Adam(
                parameters, lr=lr, weight_decay=train["weight_decay"], fused=True, capturable=capturable
            )
        return torch.optim.SGD(
            parameters, lr=train["lr"], momentum=train["momentum"], weight_decay=train["weight_decay"], fused=True
        )

    def _capture(self) -> None:
        """Capture one step after warming up, then go back to the start."""
        self._chosen = self._order[0].clone()
        before = [parameter.detach().clone() for parameter in self._network.parameters()]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step(self._chosen)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._step(self._chosen)
        with torch.no_grad():
            torch._foreach_copy_(list(self._network.parameters()), before)
            for state in self._optimizer.state.values():
                for value in state.values():
                    value.zero_()

    def _look(self) -> None:
        loss = self._score("validation")
        if loss < self._best:
            self._best = loss
            self._copy = [parameter.detach().clone() for parameter in self._network.parameters()]

    @torch.no_grad()
    def _score(self, part: str) -> float:
        images, labels = self._parts[part]
        self._network.eval()
        loss = torch.zeros((), device=self._device)
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        for start in range(0, len(labels), EVAL_BATCH):
            wanted = labels[start : start + EVAL_BATCH]
            logits = self._call(images[start : start + EVAL_BATCH])
            loss += F.cross_entropy(logits, wanted, reduction="sum")
            correct += (logits.argmax(1) == wanted).sum()
        self._network.train()
        return float(loss)

    def _part(self, part: str) -> tuple[Tensor, Tensor]:
        images, labels = self._work.examples(part)
        return self._to_device(torch.from_numpy(images)), torch.from_numpy(labels).to(self._device)

    def _to_device(self, images: Tensor) -> Tensor:
        return images.to(self._device).contiguous(memory_format=self._memory(images))

    def _memory(self, tensor: Tensor) -> torch.memory_format:
        return self._format if tensor.ndim == 4 else torch.contiguous_format


def open_contestant(work: Work, args: argparse.Namespace) -> Autograd:
    """Open it with its options.

    Raises:
        AbsentError: If the device or a compiler is missing.
    """
    if args.mode == "graph" and work.terms.device != "cuda":
        raise AbsentError("CUDA graphs need a GPU")
    return Autograd(work, layout=args.layout, mode=args.mode)


if __name__ == "__main__":
    serve(open_contestant, "layout", "mode")

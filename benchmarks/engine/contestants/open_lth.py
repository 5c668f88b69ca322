"""open_lth itself: its own training loop, loader, pruned model and evaluation, out of a checkout the user names.

None of its code is part of this project. A temporary copy of the checkout is patched by the rules below, which change
only what current torch, numpy and Pillow no longer accept; all else is set from outside, through its own parameters.

Its loop evaluates the test set once per epoch. For the paper's curves, which have a point every 100 steps, its own
test callback is called every 100 steps here; it has no validation set, so that is all it measures.

References:
    https://github.com/facebookresearch/open_lth (MIT licence).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.engine.protocol import AbsentError, Spent, read_clock, serve
from benchmarks.engine.work import Arrays, Work

PATCHES = (
    ("training/optimizers.py", "np.product(", "np.prod("),
    ("datasets/mnist.py", "Image.fromarray(example.numpy(), mode='L')", "Image.fromarray(example.numpy())"),
    ("models/base.py", "class Model(abc.ABC, torch.nn.Module)", "class Model(torch.nn.Module, abc.ABC)"),
)
"""File, text, and what stands there instead: numpy 2 has no `product`, Pillow no longer knows `mode` (a byte picture is
grey anyway), and torch's modules are abstract base classes by now."""
NAMES = {
    "fc1.weight": "fc_layers.0.weight",
    "fc1.bias": "fc_layers.0.bias",
    "fc2.weight": "fc_layers.1.weight",
    "fc2.bias": "fc_layers.1.bias",
    "out.weight": "fc.weight",
    "out.bias": "fc.bias",
}
Callback = Callable[..., None]


def patched_copy(checkout: Path, into: Path) -> Path:
    """Copy a checkout and apply the patches; return the copy.

    Raises:
        AbsentError: If it is no checkout of open_lth, or not the version the patches know.
    """
    if not (checkout / "open_lth.py").exists():
        raise AbsentError(f"{checkout} is no checkout of open_lth")
    copy = into / "open_lth"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
    for name, old, new in PATCHES:
        file = copy / name
        text = file.read_text() if file.exists() else ""
        if old not in text:
            raise AbsentError(f"{name} of this checkout has no {old!r}")
        file.write_text(text.replace(old, new))
    return copy


class OpenLth:
    """LeNet-300-100 as open_lth trains it; runs where its copy and its data folder (under HOME) are in place."""

    num_replicates = 1

    def __init__(self, work: Work, num_workers: int) -> None:
        base, registry, local, platform = map(
            import_module, ("datasets.base", "datasets.registry", "platforms.local", "platforms.platform")
        )
        hparams = import_module("foundations.hparams")
        torch.set_num_threads(1)
        self._work = work
        self.facts = {"num_workers": num_workers, "patches": len(PATCHES)}
        platform._PLATFORM = local.Platform(num_workers=num_workers)
        mnist = hparams.DatasetHparams(dataset_name="mnist", batch_size=work.batch_size)
        self._loader = registry.get(mnist, train=True)
        self._test = registry.get(mnist, train=False)
        normalisation = work.terms.data["normalisation"]
        for loader in (self._loader, self._test):
            normalise = loader.dataset._tensor_transforms[0]
            normalise.mean = [value / 255 for value in normalisation["mean"]]
            normalise.std = [value / 255 for value in normalisation["std"]]
        self._loader._sampler.__class__ = _ordered(base.ShuffleSampler, work.order(0))
        train = work.terms.train
        self._hparams = hparams.TrainingHparams(
            optimizer_name=train["optimizer"], lr=train["lr"], training_steps="50000it", data_order_seed=0
        )

    def window(self, level: int, evaluate: bool, warmup: int, steps: int) -> Spent:
        """See `Contestant.window`; its callbacks come before the step they are told of."""
        seen: dict[int, Spent] = {}

        def clock(output: str, step: Any, model: Any, optimizer: Any, logger: Any) -> None:
            del output, model, optimizer, logger
            if step.iteration in (warmup, warmup + steps):
                seen[step.iteration] = read_clock()

        callbacks = [clock, _every(self._work.eval_every, self._evaluation())] if evaluate else [clock]
        self._train(self._model(level), warmup + steps, callbacks)
        return seen[warmup + steps].since(seen[warmup])

    def score(self, level: int) -> Spent:
        """See `Contestant.score`."""
        step = import_module("foundations.step").Step.zero(self._loader.iterations_per_epoch)
        logger = import_module("training.metric_logger").MetricLogger()
        model, evaluation = self._model(level), self._evaluation()
        begun = read_clock()
        evaluation("", step, model, None, logger)
        return read_clock().since(begun)

    def first_steps(self, level: int, steps: int) -> list[Arrays]:
        """See `Contestant.first_steps`."""
        model = self._model(level)
        self._train(model, steps, [])
        model._apply_mask()
        state = model.model.state_dict()
        return [{ours: state[theirs].numpy().copy() for ours, theirs in NAMES.items()}]

    def _model(self, level: int) -> Any:
        registry = import_module("models.registry")  # first of all: its modules import one another
        hparams, pruned = import_module("foundations.hparams"), import_module("pruning.pruned_model")
        described = hparams.ModelHparams("mnist_lenet_300_100", "kaiming_normal", "uniform")
        model = registry.get(described)
        start = self._work.start(0)
        model.load_state_dict({theirs: torch.from_numpy(start[ours]) for ours, theirs in NAMES.items()})
        mask = import_module("pruning.mask").Mask.ones_like(model)
        for name, kept in (self._work.mask(level) or {}).items():
            mask[NAMES[name]] = kept.astype(np.float32)
        return pruned.PrunedModel(model, mask)

    def _train(self, model: Any, steps: int, callbacks: list[Callback]) -> None:
        train = import_module("training.train").train
        end = import_module("foundations.step").Step.from_iteration(steps, self._loader.iterations_per_epoch)
        with tempfile.TemporaryDirectory() as output:
            train(self._hparams, model, self._loader, output, callbacks, end_step=end)

    def _evaluation(self) -> Callback:
        evaluation: Callback = import_module("training.standard_callbacks").create_eval_callback("test", self._test)
        return evaluation


def _every(interval: int, callback: Callback) -> Callback:
    def sometimes(output: str, step: SimpleNamespace, *rest: Any) -> None:
        if step.iteration and step.iteration % interval == 0:
            callback(output, step, *rest)

    return sometimes


def _ordered(base: type, order: np.ndarray[Any, Any]) -> type:
    """Return its sampler with the work's order: the epoch's first examples are given, the others follow."""
    given = order.reshape(-1)

    class Ordered(base):  # type: ignore[misc]
        def __iter__(self) -> Iterator[int]:
            per_epoch = len(self)
            return iter(
                chain(given.tolist(), range(per_epoch - len(given)))
                if len(given) < per_epoch
                else given[:per_epoch].tolist()
            )

    return Ordered


def open_contestant(work: Work, args: argparse.Namespace) -> OpenLth:
    """Open it.

    Raises:
        AbsentError: If the copy does not import, or the work is not LeNet on pictures of MNIST's size.
    """
    if work.terms.model["name"] != "lenet_300_100" or tuple(work.terms.in_shape) != (1, 28, 28):
        raise AbsentError("its fully connected networks take pictures of 28x28 only")
    try:
        contestant = OpenLth(work, int(args.workers))
        contestant.first_steps(0, 1)
        return contestant
    except ImportError as error:
        raise AbsentError(f"its copy does not import: {error}") from error


if __name__ == "__main__":
    serve(open_contestant, "workers")

"""JAX as its users write it: `jit(scan(vmap(step)))`, data resident, many steps per call, buffers donated.

Runs in any interpreter that has jax; needs nothing else of this project. Plain networks only.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from benchmarks.engine.protocol import AbsentError, Stepper, serve
from benchmarks.engine.work import PARTS, Arrays, Work

STEPS_PER_CALL = 20
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
EVAL_BATCH = 500


class JaxScan(Stepper):
    """G replicates vmapped, steps scanned, one compiled program."""

    def __init__(self, work: Work, num_replicates: int) -> None:
        import jax
        from jax import numpy as jnp

        self._jax, self._jnp = jax, jnp
        self._work, self.num_replicates = work, num_replicates
        self.facts = {"jax": jax.__version__, "platform": jax.default_backend()}
        if work.terms.device == "cuda" and jax.default_backend() != "gpu":
            raise AbsentError(f"jax sees no GPU, only {jax.default_backend()}")
        self._kinds = {name: kind for name, _, kind in work.terms.layers}
        self._images, self._labels = jnp.asarray(work.array("train_images")), jnp.asarray(work.array("train_labels"))
        self._parts = {part: tuple(jnp.asarray(array) for array in work.examples(part)) for part in PARTS}
        self._order = np.stack([work.order(replicate) for replicate in range(num_replicates)], axis=1)
        self._train = jax.jit(self._scan, donate_argnums=(0,))
        self._judge = jax.jit(jax.vmap(self._loss_of_part, in_axes=(0, None, None)))
        self._keep = jax.jit(self._keep_best)

    def begin(self, level: int, evaluate: bool) -> None:
        """See `Stepper.begin`."""
        jnp = self._jnp
        mask = self._work.mask(level) or {}
        ones = {name: jnp.ones((1,) * len(shape)) for name, shape, _ in self._work.terms.layers}
        self._mask = {**ones, **{name: jnp.asarray(bits, jnp.float32) for name, bits in mask.items()}}
        starts = [self._work.start(replicate) for replicate in range(self.num_replicates)]
        weights = {n: jnp.stack([start[n] for start in starts]) * self._mask[n] for n in self._kinds}
        zeros = {name: jnp.zeros_like(value) for name, value in weights.items()}
        also = {name: jnp.zeros_like(value) for name, value in weights.items()}
        self._state: Any = (weights, zeros, also, jnp.zeros(()))
        self._evaluate, self._done = evaluate, 0
        self._best: Any = (
            jnp.full(self.num_replicates, jnp.inf),
            {name: jnp.array(value) for name, value in weights.items()},
        )

    def advance(self, steps: int) -> None:
        """See `Stepper.advance`; whole calls, so that nothing is compiled twice."""
        until = self._done + steps
        while self._done < until:
            num = min(STEPS_PER_CALL, until - self._done)
            rows = np.arange(self._done, self._done + num) % len(self._order)
            self._state = self._train(self._state, self._mask, self._order[rows], self._images, self._labels)
            self._done += num
            if self._evaluate and self._done % self._work.eval_every == 0:
                self._best = self._keep(
                    self._best, self._judge(self._state[0], *self._parts["validation"]), self._state
                )

    def score_test_set(self) -> None:
        """See `Stepper.score_test_set`."""
        self._judge(self._state[0], *self._parts["test"]).block_until_ready()

    def weights(self) -> list[Arrays]:
        """See `Stepper.weights`."""
        arrays = {name: np.asarray(value) for name, value in self._state[0].items()}
        return [{name: array[i].copy() for name, array in arrays.items()} for i in range(self.num_replicates)]

    def synchronise(self) -> None:
        """See `Stepper.synchronise`."""
        self._jax.block_until_ready((self._state, self._best))

    def _scan(self, state: Any, mask: Any, order: Any, images: Any, labels: Any) -> Any:
        step = self._jax.vmap(self._step, in_axes=((0, 0, 0, None), None, 0, 0), out_axes=(0, 0, 0, None))

        def body(carried: Any, chosen: Any) -> Any:
            return step(carried, mask, images[chosen], labels[chosen]), None

        return self._jax.lax.scan(body, state, order)[0]

    def _step(self, state: Any, mask: Any, images: Any, labels: Any) -> Any:
        """One update of one replicate; Adam with bias correction, or SGD with momentum in the place of the mean."""
        jnp, tree, train = self._jnp, self._jax.tree.map, self._work.terms.train
        weights, mean, square, count = state
        gradient = self._jax.grad(self._loss)(weights, images, labels)
        gradient = tree(lambda g, w, k: (g + train["weight_decay"] * w) * k, gradient, weights, mask)
        count = count + 1
        lr = train["lr"]
        if train["optimizer"] != "adam":
            mean = tree(lambda m, g: train["momentum"] * m + g, mean, gradient)
            return tree(lambda w, m: w - lr * m, weights, mean), mean, square, count
        mean = tree(lambda m, g: BETA1 * m + (1 - BETA1) * g, mean, gradient)
        square = tree(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, square, gradient)
        rate, root = lr / (1 - BETA1**count), jnp.sqrt(1 - BETA2**count)
        weights = tree(lambda w, m, v: w - rate * m / (jnp.sqrt(v) / root + EPSILON), weights, mean, square)
        return weights, mean, square, count

    def _loss(self, weights: Any, images: Any, labels: Any) -> Any:
        picked = self._jax.nn.log_softmax(self._forward(weights, images))
        return -self._jnp.take_along_axis(picked, labels[:, None], axis=1).mean()

    def _forward(self, weights: Any, x: Any) -> Any:
        jax, num_convs = self._jax, 0
        for name, kind in self._kinds.items():
            if not name.endswith(".weight"):
                continue
            weight, bias = weights[name], weights[name.removesuffix("weight") + "bias"]
            if kind == "conv":
                x = jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))
                x = jax.nn.relu(x + bias[:, None, None])
                num_convs += 1
                if num_convs % 2 == 0:
                    x = jax.lax.reduce_window(x, -self._jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
                continue
            x = x.reshape(len(x), -1) @ weight.T + bias
            x = x if kind == "output" else jax.nn.relu(x)
        return x

    def _loss_of_part(self, weights: Any, images: Any, labels: Any) -> Any:
        num = max(1, len(labels) // EVAL_BATCH)
        cut = len(labels) // num * num
        pairs = images[:cut].reshape(num, -1, *images.shape[1:]), labels[:cut].reshape(num, -1)
        losses = self._jax.lax.map(lambda pair: self._loss(weights, *pair), pairs)
        return losses.mean()

    def _keep_best(self, best: Any, losses: Any, state: Any) -> Any:
        better = losses < best[0]

        def pick(new: Any, old: Any) -> Any:
            return self._jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return self._jnp.where(better, losses, best[0]), self._jax.tree.map(pick, state[0], best[1])


def open_contestant(work: Work, args: argparse.Namespace) -> JaxScan:
    """Open it, on one core where it computes on the CPU.

    Raises:
        AbsentError: If jax is missing, sees no GPU, or the network is not plain.
    """
    if any(kind in ("norm", "buffer") for _, _, kind in work.terms.layers):
        raise AbsentError("this program knows networks without normalisation only")
    if work.terms.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        return JaxScan(work, args.replicates)
    except ImportError as error:
        raise AbsentError(f"no jax: {error}") from error


if __name__ == "__main__":
    serve(open_contestant)

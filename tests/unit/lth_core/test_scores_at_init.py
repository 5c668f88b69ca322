"""SNIP and GraSP against finite differences of a forward pass written here, without autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lth_core import random
from lth_core.data import split
from lth_core.determinism import pin
from lth_core.model_spec import ModelSpec
from lth_core.scores_at_init import grasp, scores_from_data, snip
from tests.support.tiny import tiny_data, tiny_lineage

DATA = tiny_data()
BATCH = 16
WEIGHTS = ("fc1.weight", "fc2.weight", "out.weight")
RANDOM = np.random.default_rng(11)
LINEAGE = tiny_lineage()
REWIND = {t.name: RANDOM.normal(0, 0.4, t.shape).astype(np.float32) for t in LINEAGE.tensors()}
WIDE = {name: values.astype(np.float64) for name, values in REWIND.items()}


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [16, 16] and labels [16] that training sees at a step, from the definition of the epoch order."""
    fit = split(DATA.info.num_train, 0).fit
    epoch, position = divmod(step, len(fit) // BATCH)
    order = random.permutation(random.seed_key(0, "order"), len(fit), step=epoch)
    chosen = fit[order[position * BATCH : (position + 1) * BATCH]]
    images = DATA.train_images.numpy()[chosen].reshape(BATCH, -1).astype(np.float64)
    return images, DATA.train_labels.numpy()[chosen]


def loss(weights, batches, temperature: float = 1.0) -> float:
    """The sum over batches of the mean cross-entropy, in float64."""
    total = 0.0
    for images, labels in batches:
        hidden = np.maximum(images @ weights["fc1.weight"].T + weights["fc1.bias"], 0)
        hidden = np.maximum(hidden @ weights["fc2.weight"].T + weights["fc2.bias"], 0)
        logits = (hidden @ weights["out.weight"].T + weights["out.bias"]) / temperature
        shifted = logits - logits.max(1, keepdims=True)
        total += float(np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]))
    return total


def gradient(weights, batches, temperature: float = 1.0, width: float = 1e-5) -> dict[str, np.ndarray]:
    """Central differences of the loss in every prunable weight."""
    found = {}
    for name in WEIGHTS:
        moved = {**weights, name: weights[name].copy()}
        found[name] = np.empty(moved[name].shape)
        for place in np.ndindex(moved[name].shape):
            value = moved[name][place]
            moved[name][place] = value + width
            above = loss(moved, batches, temperature)
            moved[name][place] = value - width
            found[name][place] = (above - loss(moved, batches, temperature)) / (2 * width)
            moved[name][place] = value
    return found


def bent(weights, batches, flow) -> dict[str, np.ndarray]:
    """The Hessian times `flow`: central differences of the gradient along it."""
    length = 1e-3 / max(np.abs(flow[name]).max() for name in WEIGHTS)
    sides = []
    for side in (length, -length):
        moved = {**weights, **{name: weights[name] + side * flow[name] for name in WEIGHTS}}
        sides.append(gradient(moved, batches, 200.0, width=1e-3))
    return {name: (sides[0][name] - sides[1][name]) / (2 * length) for name in WEIGHTS}


def close(found, expected) -> None:
    assert set(found) == set(WEIGHTS)
    for name in WEIGHTS:
        largest = np.abs(expected[name]).max()
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - expected[name]).max() < 1e-4 * largest, name


def test_snip_is_the_weight_times_its_gradient_on_the_first_batch():
    slopes = gradient(WIDE, [batch(0)])
    close(scores_from_data(snip, LINEAGE, REWIND, DATA), {n: np.abs(WIDE[n] * slopes[n]) for n in WEIGHTS})


def test_snip_sums_gradients_over_the_batches_that_training_from_the_rewind_point_would_see():
    lineage = tiny_lineage(prune={"score_batches": 3}, rewind_step=5)
    slopes = gradient(WIDE, [batch(5), batch(6), batch(7)])  # an epoch has 6
    close(scores_from_data(snip, lineage, REWIND, DATA), {n: np.abs(WIDE[n] * slopes[n]) for n in WEIGHTS})


@pytest.mark.parametrize("num", [1, 2])
def test_grasp_is_the_weight_times_the_hessian_times_the_gradient(num):
    batches = [batch(step) for step in range(num)]
    product = bent(WIDE, batches, gradient(WIDE, batches, 200.0))
    found = scores_from_data(grasp, tiny_lineage(prune={"score_batches": num}), REWIND, DATA)
    close(found, {name: WIDE[name] * product[name] for name in WEIGHTS})


def test_scoring_leaves_weights_and_data_alone_and_repeats_itself():
    before = {name: values.copy() for name, values in REWIND.items()}
    images = DATA.train_images.clone()
    first, second = (scores_from_data(grasp, LINEAGE, REWIND, DATA) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in WEIGHTS)
    assert all(np.array_equal(REWIND[name], before[name]) for name in REWIND)
    assert bool((DATA.train_images == images).all())


def test_batch_norm_scores_by_the_statistics_of_the_batch_and_keeps_the_running_ones():
    shape = (3, 8, 8)
    lineage = tiny_lineage(model=ModelSpec(name="resnet_20", width=2), shape=shape)
    data = tiny_data(shape)
    weights = {t.name: RANDOM.normal(0.1, 0.3, t.shape).astype(np.float32) for t in lineage.tensors()}
    running = [name for name in weights if name.endswith("running_var")]
    assert running
    for name in running:
        weights[name] = np.ones_like(weights[name])
    others = {**weights, **{name: weights[name] * 7 for name in running}}
    pin(1)
    for saliency in (snip, grasp):
        one, two = (scores_from_data(saliency, lineage, each, data) for each in (weights, others))
        assert all(np.array_equal(one[name], two[name]) for name in one)
    assert all((weights[name] == 1).all() for name in running)
    assert set(one) == {t.name for t in lineage.tensors() if t.prunable}


class Attention(nn.Module):
    """One attention head over five tokens, then a linear layer on their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(8, 24).double(), nn.Linear(8, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.mix(x).chunk(3, -1)
        mixed = nn.functional.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])
        return self.out(mixed[:, 0].mean(1))


def test_grasp_goes_through_attention_whose_fused_form_has_no_second_derivative():
    generator = np.random.default_rng(4)
    network = Attention()
    weights = [network.mix.weight, network.out.weight]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, 1, parameter.shape)))
    examples = (torch.from_numpy(generator.normal(0, 1, (4, 5, 8))), torch.tensor([0, 1, 2, 1]))

    def slopes() -> list[Tensor]:
        loss = nn.functional.cross_entropy(network(examples[0]) / 200, examples[1])
        return list(torch.autograd.grad(loss, weights))

    def moved(by: float) -> None:
        with torch.no_grad():
            for weight, step in zip(weights, flow, strict=True):
                weight.add_(by * step)

    found, flow = grasp(network, weights, [examples]), slopes()
    moved(0.1)
    above = slopes()
    moved(-0.2)
    below = slopes()
    moved(0.1)
    for score, weight, a, b in zip(found, weights, above, below, strict=True):
        expected = weight.detach() * (a - b) / 0.2
        assert torch.allclose(score, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))

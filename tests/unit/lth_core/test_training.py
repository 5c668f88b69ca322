"""One training: what every option of a recipe does to it, against formulas, and that resuming changes no bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core import random
from lth_core.data import epoch_batches, split
from lth_core.determinism import pin
from lth_core.engines.base import Plan, Trained
from lth_core.evaluation import evaluate
from lth_core.expansion import LineageSpec
from lth_core.gradual import Tightening
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask, full_mask
from lth_core.model_spec import ModelSpec
from lth_core.models import FlatNetwork
from lth_core.pulse import Pulse
from lth_core.streams import Streams
from lth_core.training import train
from lth_core.weights import Weights, content_digest
from tests.support.tiny import tiny_data, tiny_lineage

IMAGES = (3, 8, 8)
RESNET = ModelSpec(name="resnet_20", width=2)
OPTIMIZERS = {
    "adam": {"optimizer": "adam", "lr": 0.005},
    "momentum": {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9},
}


def start_of(lineage: LineageSpec) -> Weights:
    return glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init"))


def half_mask(lineage: LineageSpec) -> Mask:
    return {
        name: random.words(5, bits.size, tensor=i)[:, 0].reshape(bits.shape) % 2 == 0
        for i, (name, bits) in enumerate(full_mask(lineage.tensors()).items())
    }


def run(lineage: LineageSpec, mask: Mask | None = None, start: Weights | None = None, **options: Any) -> Trained:
    pin(1)
    plan = Plan(lineage, start or start_of(lineage), mask, **options)
    return train(plan, tiny_data(lineage.in_shape), Pulse())


def rows(trained: Trained) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trained.curves.to_jsonl().splitlines()]


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def forward(w: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the tiny MLP, and its last hidden layer."""
    h = x.reshape(len(x), -1).astype(np.float64)
    for name in ("fc1", "fc2"):
        h = np.maximum(h @ w[f"{name}.weight"].T + w[f"{name}.bias"], 0)
    return h @ w["out.weight"].T + w["out.bias"], h


def test_a_training_is_what_a_plain_loop_over_batches_does():
    lineage = tiny_lineage(train={"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01})
    mask, data, parts = half_mask(lineage), tiny_data(), split(120, 0)
    names = [tensor.name for tensor in lineage.tensors()]
    keep = {name: torch.from_numpy(bits) for name, bits in mask.items()}
    w = {name: torch.from_numpy(value.copy()) for name, value in start_of(lineage).items()}
    buffers = {name: torch.zeros_like(value) for name, value in w.items()}
    order = np.concatenate([epoch_batches(parts, 0, epoch, 16) for epoch in range(6)])
    for chosen in order[:30]:
        w = {n: torch.where(keep[n], v, 0) if n in keep else v for n, v in w.items()}
        leaves = [w[name].detach().requires_grad_() for name in names]
        w = dict(zip(names, leaves, strict=True))
        x = data.train_images[chosen].flatten(1)
        for layer in ("fc1", "fc2"):
            x = F.relu(F.linear(x, w[f"{layer}.weight"], w[f"{layer}.bias"]))
        loss = F.cross_entropy(F.linear(x, w["out.weight"], w["out.bias"]), data.train_labels[chosen])
        for name, gradient in zip(names, torch.autograd.grad(loss, leaves), strict=True):
            g = torch.where(keep[name], gradient, 0) if name in keep else gradient
            buffers[name] = 0.9 * buffers[name] + g + 0.01 * w[name].detach()
            w[name] = w[name].detach() - 0.05 * buffers[name]
    trained = run(lineage, mask)
    for name in names:
        expected = np.where(mask[name], w[name].numpy(), 0) if name in mask else w[name].numpy()
        assert np.allclose(trained.final[name], expected, rtol=1e-4, atol=1e-5)


def test_label_smoothing_is_in_the_training_loss_and_its_gradient_and_nowhere_else():
    recipe = {"optimizer": "sgd", "lr": 0.1, "steps": 1, "eval_every": 1, "batch_size": 20}
    plain, smooth = (tiny_lineage(train={**recipe, "label_smoothing": s}) for s in (0.0, 0.3))
    w, data, parts = start_of(smooth), tiny_data(), split(120, 0)
    chosen = epoch_batches(parts, 0, 0, 20)[0]
    z, h = forward(w, data.train_images[chosen].numpy())
    target = 0.7 * np.eye(3)[data.train_labels[chosen].numpy()] + 0.3 / 3
    loss = -(target * np.log(softmax(z))).sum(1).mean()
    step = 0.1 * ((softmax(z) - target) / 20).T @ h
    trained, usual = run(smooth), run(plain)
    assert rows(trained)[1]["train_loss"] == pytest.approx(loss, rel=1e-5)
    assert trained.final["out.weight"] == pytest.approx(w["out.weight"] - step, rel=1e-4, abs=1e-6)
    assert rows(trained)[0] == rows(usual)[0]
    z, _ = forward(trained.final, data.train_images[parts.validation].numpy())
    wanted = data.train_labels[parts.validation].numpy()
    assert rows(trained)[1]["val_loss"] == pytest.approx(-np.log(softmax(z)[range(12), wanted]).mean(), rel=1e-5)


def test_batch_norm_learns_its_statistics_from_training_batches_and_evaluations_leave_them():
    lineage = tiny_lineage(model=RESNET, shape=IMAGES, train={"steps": 2, "eval_every": 1, "test_curve": True})
    w, data = start_of(lineage), tiny_data(IMAGES)
    mean, var = np.zeros(2), np.ones(2)
    for chosen in epoch_batches(split(120, 0), 0, 0, 16)[:2]:
        padded = np.pad(data.train_images[chosen].numpy().astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
        y = np.zeros((16, 2, 8, 8))
        for i in range(3):
            for j in range(3):
                y += np.einsum("ncyx,oc->noyx", padded[:, :, i : i + 8, j : j + 8], w["conv1.weight"][:, :, i, j])
        mean = 0.9 * mean + 0.1 * y.mean((0, 2, 3))
        var = 0.9 * var + 0.1 * y.var((0, 2, 3), ddof=1)
        w = run(lineage.model_copy(update={"train": lineage.train.model_copy(update={"steps": 1})})).final
    trained = run(lineage)
    assert trained.final["bn1.running_mean"] == pytest.approx(mean, rel=1e-4, abs=1e-6)
    assert trained.final["bn1.running_var"] == pytest.approx(var, rel=1e-4)


def test_the_copy_at_the_lowest_validation_loss_has_its_running_statistics():
    recipe = {"optimizer": "sgd", "steps": 12, "eval_every": 4}
    late, at_once = (
        run(
            tiny_lineage(model=RESNET, shape=IMAGES, train={**recipe, "test_curve": whole}),
            rate=lambda step: 0.1 if step < 8 else 5.0,
        ).curves
        for whole in (False, True)
    )
    assert late.early_stop.step == at_once.early_stop.step < 12
    assert late.early_stop.test == at_once.early_stop.test != late.end.test


@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_held_weights_keep_every_bit_while_the_others_train(optimizer, mode):
    recipe = {**OPTIMIZERS[optimizer], "weight_decay": 0.1, "weight_decay_mode": mode}
    lineage = tiny_lineage(train=recipe)
    mask, start = half_mask(lineage), start_of(lineage)
    start["fc1.weight"][~mask["fc1.weight"]] = np.float32(-0.0)
    held = run(lineage, mask, start, held=True, record_at=30, record_optimizer=True)
    state, at = held.recorded_optimizer, 0
    for tensor in lineage.tensors():
        bits = mask.get(tensor.name, np.ones(tensor.shape, bool))
        for found in (held.start, held.final):
            assert np.array_equal(found[tensor.name].view(np.uint32)[~bits], start[tensor.name].view(np.uint32)[~bits])
        assert (held.final[tensor.name] != start[tensor.name])[bits].mean() > 0.5
        for name in set(state) - {"count"}:
            moments = state[name][at : at + tensor.size].reshape(tensor.shape)
            assert not moments[~bits].any()
            assert moments[bits].any()
        at += tensor.size
    zeroed = run(lineage, mask, start)
    assert content_digest(zeroed.final) != content_digest(held.final)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", [RESNET, ModelSpec(name="conv_2", dropout=0.5)], ids=["batch norm", "dropout"])
def test_going_on_from_weights_and_optimizer_state_equals_the_unbroken_training(model, optimizer):
    options = {"flip": True, "crop_padding": 1, "label_smoothing": 0.1, "schedule": "cosine", "warmup_steps": 5}
    recipe = {**OPTIMIZERS[optimizer], **options, "weight_decay": 1e-3, "steps": 16, "eval_every": 4, "batch_size": 12}
    lineage = tiny_lineage(model=model, shape=IMAGES, train=recipe)
    whole = run(lineage, record_at=11, record_optimizer=True)
    resumed = run(lineage, start=whole.recorded, first_step=11, optimizer_state=whole.recorded_optimizer)
    assert content_digest(resumed.final) == content_digest(whole.final)
    for later, line in zip(rows(resumed)[-1:], rows(whole)[-1:], strict=True):
        assert {k: later[k] for k in ("step", "lr", "val_loss")} == {k: line[k] for k in ("step", "lr", "val_loss")}
    afresh = run(lineage, start=whole.recorded, first_step=11)
    assert content_digest(afresh.final) != content_digest(whole.final)


@pytest.mark.parametrize("option", [{"flip": True}, {"crop_padding": 1}, {"label_smoothing": 0.1}])
def test_an_option_changes_the_training_but_not_how_it_is_judged_at_the_start(option):
    plain, other = (run(tiny_lineage(train={"steps": 5, "eval_every": 5, **extra})) for extra in ({}, option))
    assert rows(plain)[0] == rows(other)[0]
    assert content_digest(plain.final) != content_digest(other.final)


def test_a_restored_optimizer_remembers_nothing_of_pruned_weights():
    lineage = tiny_lineage()
    mask, dense = half_mask(lineage), run(lineage, record_at=7, record_optimizer=True)
    state = dense.recorded_optimizer
    ticket = run(
        lineage, mask, dense.recorded, first_step=7, optimizer_state=state, record_at=7, record_optimizer=True
    ).recorded_optimizer
    kept = np.concatenate([mask.get(tensor.name, np.ones(tensor.shape, bool)).ravel() for tensor in lineage.tensors()])
    assert ticket["count"] == state["count"] == 7
    for name in ("mean", "square"):
        assert state[name][~kept].any()
        assert np.array_equal(ticket[name], np.where(kept, state[name], 0))


def test_a_rate_of_its_own_replaces_the_schedule():
    lineage = tiny_lineage(train={"milestones": (10,), "eval_every": 1, "optimizer": "sgd"})
    trained = run(lineage, rate=lambda step: 0.01 * (step + 1))
    assert [row["lr"] for row in rows(trained)] == [0.01, *(0.01 * (step + 1) for step in range(30))]
    plain = run(lineage, rate=lambda step: 0.01 if step < 10 else 0.001)
    assert content_digest(plain.final) == content_digest(run(lineage).final)


def test_other_streams_order_and_augment_differently_and_share_all_else():
    lineage = tiny_lineage(train={"flip": True, "crop_padding": 1, "steps": 12})
    streams = [Streams(), Streams(order="order:reordered:0"), Streams(augment="augment:reordered:0")]
    results = [run(lineage, streams=stream) for stream in streams]
    assert len({content_digest(result.final) for result in results}) == 3
    assert len({result.validation_sha256 for result in results}) == 1
    assert all(rows(result)[0] == rows(results[0])[0] for result in results)
    assert content_digest(run(lineage).final) == content_digest(results[0].final)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_gradual_training_ends_under_its_exact_mask_with_nothing_left_beside_it(optimizer):
    prune = {"begin_step": 3, "end_step": 20, "every": 4, "densities": (0.3,), "levels": 1}
    lineage = tiny_lineage(train=OPTIMIZERS[optimizer], prune=prune, method="gradual")
    trained = run(lineage, tightening=Tightening(lineage, 1), record_at=30, record_optimizer=True)
    mask = trained.mask
    assert sum(int(bits.sum()) for bits in mask.values()) == round(0.3 * 312)
    for name, bits in mask.items():
        assert not trained.final[name].view(np.uint32)[~bits].any()
        assert (trained.final[name][bits] != 0).all()
    at = 0
    for tensor in lineage.tensors():
        if tensor.prunable:
            for name in set(trained.recorded_optimizer) - {"count"}:
                moments = trained.recorded_optimizer[name][at : at + tensor.size].reshape(tensor.shape)
                assert not moments[~mask[tensor.name]].any()
        at += tensor.size
    assert content_digest(trained.final) != content_digest(run(lineage).final)


def test_a_gradual_training_is_judged_at_the_start_before_anything_is_pruned():
    prune = {"begin_step": 0, "end_step": 1, "densities": (0.3,), "initial_sparsity": 0.6, "levels": 1}
    lineage = tiny_lineage(train={"steps": 4, "eval_every": 2}, prune=prune, method="gradual")
    gradual, dense = run(lineage, tightening=Tightening(lineage, 1)), run(lineage)
    assert rows(gradual)[0] == rows(dense)[0]
    assert content_digest(gradual.start) == content_digest(dense.start)
    assert sum(int(bits.sum()) for bits in gradual.mask.values()) == round(0.3 * 312)


def test_early_stop_of_a_gradual_training_is_that_of_the_network_pruned_to_its_end():
    prune = {"begin_step": 0, "end_step": 25, "every": 5, "densities": (0.02,), "levels": 1, "scope": "global"}
    lineage = tiny_lineage(train={"lr": 0.02, "eval_every": 5}, prune=prune, method="gradual")
    curves = run(lineage, tightening=Tightening(lineage, 1)).curves
    assert min(curves.points[1:], key=lambda point: point.validation.loss).step < 25
    assert curves.early_stop.step >= 25
    assert curves.early_stop.test is not None


def test_the_network_is_judged_without_dropout_by_what_it_has_learned():
    lineage = tiny_lineage(
        model=ModelSpec(name="conv_2", dropout=0.5), shape=IMAGES, train={"steps": 4, "eval_every": 2}
    )
    trained, data, parts = run(lineage), tiny_data(IMAGES), split(120, 0)
    net = FlatNetwork(lineage.model, IMAGES, 3, torch.device("cpu"))
    net.load(trained.final)
    x, labels = data.train_images[parts.validation], data.train_labels[parts.validation]
    assert evaluate(net.network, x, labels) == trained.curves.end.validation


@pytest.mark.parametrize("first", [0, 3])
def test_every_update_has_the_dropout_mask_of_its_absolute_step(first):
    model = ModelSpec(name="conv_2", dropout=0.5)
    lineage = tiny_lineage(model=model, shape=IMAGES, train={"steps": 6, "eval_every": 1})
    trained = run(lineage, first_step=first, rate=lambda _step: 0.0)
    net = FlatNetwork(model, IMAGES, 3, torch.device("cpu"), dropout_key=random.seed_key(0, "dropout"))
    net.load(start_of(lineage))
    data, order = tiny_data(IMAGES), epoch_batches(split(120, 0), 0, 0, 16)
    losses = []
    for step in range(first, 6):
        net.at_step(step)
        losses.append(
            F.cross_entropy(net.network(data.train_images[order[step]]), data.train_labels[order[step]]).item()
        )
    assert [row["train_loss"] for row in rows(trained)[1:]] == losses


def test_holding_and_tightening_at_once_is_refused():
    lineage = tiny_lineage(method="gradual")
    with pytest.raises(ValueError, match="tightening must be None"):
        run(lineage, half_mask(lineage), held=True, tightening=Tightening(lineage, 1))

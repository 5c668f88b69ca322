"""Where the survivors go back to: W_k, the schedule alone, or nowhere, and what the optimizer remembers."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from lth_core import random
from lth_core.data import batches, split
from lth_core.level import LevelResult, train_level
from lth_core.level_task import task_of
from lth_core.lineage import Resume, run_lineage
from lth_core.manifest import blobs_to_keep
from lth_core.models import FlatNetwork
from lth_core.weights import Weights, content_digest, from_safetensors, to_safetensors, weights_from_safetensors
from tests.support.tiny import tiny_data, tiny_lineage

SGD = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "milestones": (12, 20), "warmup_steps": 9, "eval_every": 1}
K = 7
STEPS = 30
PRUNE = {"fraction": 0.4}


def chain_of(mode: str, *, num_levels: int = 3, **options):
    lineage = tiny_lineage(rewind={"step": K, "mode": mode}, prune=PRUNE, **{"train": SGD, **options})
    return lineage, list(run_lineage(lineage, tiny_data(), num_levels))


@pytest.fixture(scope="module")
def chains():
    return {mode: chain_of(mode) for mode in ("weights", "lr", "fine_tune")}


def rates(result: LevelResult) -> dict[int, float]:
    """The learning rate of every update, as the curves of an evaluation after every step recorded it."""
    return {row["step"]: row["lr"] for row in map(json.loads, result.curves.splitlines())}


def scheduled(step: int) -> float:
    """Warm-up over 9 updates, a tenth after 12 and after 20: the recipe, written down once more."""
    rate = 0.1 * 0.1 ** sum(step >= milestone for milestone in (12, 20))
    return rate * (step + 1) / 9 if step < 9 else rate


def masked(weights: Weights, mask) -> Weights:
    return {n: np.where(mask[n], w, np.float32(0)) if n in mask else w for n, w in weights.items()}


def test_every_level_starts_from_the_bit_exact_w_k_of_the_dense_network(chains):
    _, chain = chains["weights"]
    cut_short = tiny_lineage(train={**SGD, "steps": K, "milestones": ()}, rewind={"step": 0})
    w_k = train_level(task_of(cut_short, 0), tiny_data()).final
    for result in chain:
        assert {n: w.tobytes() for n, w in result.rewind.items()} == {n: w.tobytes() for n, w in w_k.items()}
        assert result.core["rewind_max_abs_err"] == 0
    assert set(rates(chain[2])) == set(range(K, STEPS + 1))


def test_learning_rate_rewinding_starts_from_the_trained_weights_of_the_level_before(chains):
    _, chain = chains["lr"]
    for before, result in pairwise(chain):
        assert content_digest(result.rewind) == before.core["digests"]["final"]
        assert result.core["rewind_max_abs_err"] == 0
    assert content_digest(chain[1].rewind) != content_digest(chain[0].rewind)


def test_learning_rate_rewinding_replays_the_schedule_exactly_from_step_k(chains):
    dense, *later = chains["lr"][1]
    assert {step: rates(dense)[step] for step in range(1, STEPS + 1)} == {
        step: pytest.approx(scheduled(step - 1), rel=1e-12) for step in range(1, STEPS + 1)
    }
    for result in later:
        replayed = rates(result)
        assert replayed.keys() == set(range(K, STEPS + 1))
        assert all(replayed[step] == rates(dense)[step] for step in range(K + 1, STEPS + 1))


def test_fine_tuning_trains_on_at_the_last_rate_of_the_schedule(chains):
    dense, *later = chains["fine_tune"][1]
    last = rates(dense)[STEPS]
    assert last == pytest.approx(scheduled(STEPS - 1))
    for result in later:
        assert set(rates(result).values()) == {last}
        assert rates(result).keys() == set(range(K, STEPS + 1))


def test_each_way_of_going_back_is_another_computation_from_one_dense_network(chains):
    dense = {mode: chain[0].core for mode, (_, chain) in chains.items()}
    assert dense["weights"] == dense["lr"] == dense["fine_tune"]
    first = {mode: chain[1] for mode, (_, chain) in chains.items()}
    assert len({result.core["digests"]["mask"] for result in first.values()}) == 1
    assert len({result.core["digests"]["final"] for result in first.values()}) == 3


def test_a_level_that_keeps_trained_weights_is_what_a_plain_loop_makes_of_them(chains):
    lineage, chain = chains["lr"]
    data, recipe = tiny_data(), lineage.train
    net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, data.device)
    mask = chain[1].mask
    net.load(masked(chain[0].final, mask))
    keep = np.concatenate([mask.get(t.name, np.ones(t.shape, bool)).reshape(-1) for t in net.tensors])
    kept = torch.from_numpy(keep)
    momentum = torch.zeros_like(net.vector)
    seen = batches(data, split(120, lineage.replicate), lineage.replicate, recipe.batch_size, K)
    for step, (images, labels) in zip(range(K, STEPS), seen, strict=False):
        loss = torch.nn.functional.cross_entropy(net.network(images), labels)
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, net.parameters)])
        momentum = 0.9 * momentum + torch.where(kept, gradient, 0.0)
        with torch.no_grad():
            net.vector.add_(momentum, alpha=-scheduled(step))
    for name, weights in net.read().items():
        np.testing.assert_allclose(chain[1].final[name], weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["lr", "fine_tune"])
def test_a_chain_that_keeps_trained_weights_is_labelled_and_keeps_what_the_next_level_starts_from(chains, mode):
    lineage, chain = chains[mode]
    assert "label" not in chain[0].core
    for result in chain[1:]:
        assert result.core["label"] == "trained"
        assert "final" in blobs_to_keep(result, lineage.model_copy(update={"keep": "masks"}))
    reset = train_level(
        task_of(lineage.model_copy(update={"treatment": "reset"}), 1, mask=chain[1].mask, rewind=chain[0].rewind),
        tiny_data(),
    )
    assert "label" not in reset.core
    assert content_digest(reset.rewind) == content_digest(chain[0].rewind)


@pytest.mark.parametrize("mode", ["lr", "fine_tune"])
def test_a_chain_that_keeps_trained_weights_resumes_from_stored_bytes(chains, mode):
    lineage, chain = chains[mode]
    tensors = lineage.tensors()
    stored = [weights_from_safetensors(to_safetensors(w), tensors) for w in (chain[0].rewind, chain[1].final)]
    resume = Resume(2, chain[1].next_mask, stored[0], carried=stored[1])
    (again,) = run_lineage(lineage, tiny_data(), 3, resume=resume)
    assert again.core == chain[2].core


@pytest.mark.parametrize("recipe", [SGD, {"eval_every": 10}], ids=["momentum", "adam"])
def test_a_restored_optimizer_goes_on_as_if_training_had_never_stopped(recipe):
    lineage = tiny_lineage(rewind={"step": K, "optimizer": "restore"}, train=recipe)
    dense = train_level(task_of(lineage, 0), tiny_data())
    assert dense.optimizer is not None
    state = from_safetensors(to_safetensors(dense.optimizer))
    ones = {t.name: np.ones(t.shape, bool) for t in lineage.tensors() if t.prunable}
    task = task_of(lineage, 1, mask=ones, rewind=dense.rewind, optimizer=state)
    assert content_digest(train_level(task, tiny_data()).final) == content_digest(dense.final)
    fresh = task_of(tiny_lineage(rewind={"step": K}, train=recipe), 1, mask=ones, rewind=dense.rewind)
    assert content_digest(train_level(fresh, tiny_data()).final) != content_digest(dense.final)


def test_a_restored_optimizer_remembers_nothing_of_pruned_weights():
    lineage = tiny_lineage(rewind={"step": K, "optimizer": "restore"}, train={**SGD, "steps": K + 1}, prune=PRUNE)
    lineage = lineage.model_copy(update={"train": lineage.train.model_copy(update={"milestones": ()})})
    data = tiny_data()
    dense, first = run_lineage(lineage, data, 2)
    assert dense.optimizer is not None
    net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, data.device)
    net.load(masked(dense.rewind, first.mask))
    images, labels = next(batches(data, split(120, 0), 0, lineage.train.batch_size, K))
    loss = torch.nn.functional.cross_entropy(net.network(images), labels)
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, net.parameters)])
    by_hand = net.vector - scheduled(K) * (0.9 * torch.from_numpy(dense.optimizer["momentum"]) + gradient)
    start = 0
    for tensor in net.tensors:
        expected = by_hand[start : start + tensor.size].reshape(tensor.shape).detach().numpy()
        start += tensor.size
        kept = first.mask.get(tensor.name, np.ones(tensor.shape, bool))
        np.testing.assert_allclose(first.final[tensor.name][kept], expected[kept], rtol=1e-5, atol=1e-7)
        assert not first.final[tensor.name].view(np.uint32)[~kept].any()


def test_the_dense_level_names_the_optimizer_state_that_it_recorded():
    plain = train_level(task_of(tiny_lineage(rewind={"step": K}), 0), tiny_data())
    restoring = tiny_lineage(rewind={"step": K, "optimizer": "restore"})
    dense = train_level(task_of(restoring, 0), tiny_data())
    assert "optimizer" not in plain.core["digests"]
    assert dense.optimizer is not None
    assert dense.core["digests"]["optimizer"] == content_digest(dense.optimizer)
    assert dense.core["digests"]["final"] == plain.core["digests"]["final"]
    blobs = blobs_to_keep(dense, restoring.model_copy(update={"keep": "masks"}))
    assert content_digest(from_safetensors(blobs["optimizer"].data)) == dense.core["digests"]["optimizer"]


def test_streams_of_a_replicate_are_not_those_of_its_controls():
    lineage = tiny_lineage(treatment="reordered")
    ordinary = train_level(task_of(tiny_lineage(), 0), tiny_data())
    other = train_level(task_of(lineage, 0, rewind=ordinary.rewind), tiny_data())
    assert other.core["seeds"]["order"] == f"{random.seed_key(0, 'order:reordered:0'):016x}"
    assert ordinary.core["seeds"]["order"] == f"{random.seed_key(0, 'order'):016x}"
    assert other.core["seeds"].keys() == {"init", "split", "order"}

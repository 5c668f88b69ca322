"""Controls that train otherwise than under zeros from W_k: held weights, other batches, and the ticket itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lth_core.beginning import beginning
from lth_core.data import batches, split
from lth_core.engines.base import Plan
from lth_core.engines.starting import start_training
from lth_core.errors import UserError
from lth_core.level import LevelResult, train_level
from lth_core.level_task import LevelTask
from lth_core.lineage import run_control, run_lineage
from lth_core.models import FlatNetwork
from lth_core.pulse import Pulse
from lth_core.streams import Streams
from lth_core.weights import content_digest
from tests.support.tiny import tiny_data, tiny_lineage

K = 4
PRUNE = {"fraction": 0.4, "levels": 2}
SGD = {"optimizer": "sgd", "lr": 0.1}


def run(
    treatment: str, *, rewind: dict[str, object] | None = None, **options
) -> tuple[list[LevelResult], list[LevelResult]]:
    """A chain of two levels above the dense one, and a control of it."""
    lineage = tiny_lineage(rewind={"step": K, **(rewind or {})}, prune=PRUNE, **{"train": SGD, **options})
    chain = list(run_lineage(lineage, tiny_data(), 3))
    masks = [(n, result.mask) for n, result in enumerate(chain) if n]
    finals = {n: result.final for n, result in enumerate(chain)}
    control = lineage.model_copy(update={"treatment": treatment})
    given = {"finals": finals, "optimizer": chain[0].optimizer}
    return chain, list(run_control(control, tiny_data(), masks, chain[0].rewind, **given))


@pytest.mark.parametrize("recipe", [SGD, {"weight_decay": 0.1}], ids=["sgd", "adam with decay"])
def test_frozen_weights_stay_where_they_were_bit_for_bit_and_the_others_move(recipe):
    chain, control = run("frozen", train=recipe)
    for ticket, result in zip(chain[1:], control, strict=True):
        assert result.core["rewind_max_abs_err"] == 0
        for name, kept in ticket.mask.items():
            held, start = result.final[name].view(np.uint32), chain[0].rewind[name].view(np.uint32)
            assert np.array_equal(result.mask[name], kept)
            assert np.array_equal(held[~kept], start[~kept])
            assert (held[kept] != start[kept]).mean() > 0.9
            assert start[~kept].all()  # they are not zeros
        assert result.core["digests"]["final"] != ticket.core["digests"]["final"]


def test_the_first_evaluation_of_a_frozen_network_is_that_of_the_unmasked_w_k():
    chain, control = run("frozen")
    dense = run("frozen", train={**SGD, "eval_every": 1})[0][0]
    at_k = next(row for row in map(json.loads, dense.curves.splitlines()) if row["step"] == K)
    assert control[0].core["metrics"]["start_test_accuracy"] != chain[1].core["metrics"]["start_test_accuracy"]
    first = json.loads(control[0].curves.splitlines()[0])
    assert first["step"] == K
    assert first["val_loss"] == pytest.approx(at_k["val_loss"], rel=1e-6)  # two engines, one network


@pytest.mark.parametrize("mode", ["lr", "fine_tune"])
def test_reset_is_the_chains_mask_on_w_k_with_the_recipes_schedule(mode):
    chain, control = run("reset", rewind={"mode": mode})
    for source, result in zip(chain[1:], control, strict=True):
        assert np.array_equal(result.mask["fc1.weight"], source.mask["fc1.weight"])
        assert content_digest(result.rewind) == content_digest(chain[0].rewind)
        ticket = tiny_lineage(rewind={"step": K}, prune=PRUNE, train=SGD)
        by_itself = train_level(LevelTask(ticket, 1, source.mask, chain[0].rewind), tiny_data())
        assert result.core["digests"]["final"] == by_itself.core["digests"]["final"]
        assert "label" not in result.core


@pytest.mark.parametrize("rewind", [{}, {"mode": "lr"}, {"mode": "fine_tune"}, {"optimizer": "restore"}])
def test_identity_equals_its_parent_bit_for_bit_however_the_chain_goes_back(rewind):
    chain, control = run("identity", rewind=rewind, train={**SGD, "momentum": 0.9})
    for ticket, result in zip(chain[1:], control, strict=True):
        assert result.core["digests"] == {**ticket.core["digests"], "next_mask": None}
        assert result.core["metrics"] == ticket.core["metrics"]


def test_reordered_trains_a_dense_network_of_its_own_on_other_batches():
    chain, (dense, *later) = run("reordered")
    assert [result.core["level"] for result in (dense, *later)] == [0, 1, 2]
    assert all(bits.all() for bits in dense.mask.values())
    for ticket, result in zip(chain, (dense, *later), strict=True):
        assert content_digest(result.rewind) == content_digest(chain[0].rewind)
        assert result.core["digests"]["mask"] == ticket.core["digests"]["mask"]
        assert result.core["digests"]["final"] != ticket.core["digests"]["final"]
        assert result.core["metrics"]["steps"] == 30
        assert json.loads(result.curves.splitlines()[0])["step"] == K
    assert dense.core["lineage"]["treatment"] == "reordered"
    assert dense.core["seeds"]["order"] != chain[0].core["seeds"]["order"]
    assert later[0].core["seeds"].keys() == {"init", "split", "order"}


def test_a_reordered_dense_network_is_what_a_plain_loop_makes_of_its_batches():
    chain, (dense, *_) = run("reordered")
    lineage = tiny_lineage(train=SGD)
    net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, tiny_data().device)
    net.load(chain[0].rewind)
    seen = batches(tiny_data(), split(120, 0), 0, lineage.train.batch_size, K, order="order:reordered:0")
    for _, (images, labels) in zip(range(K, 30), seen, strict=False):
        loss = torch.nn.functional.cross_entropy(net.network(images), labels)
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, net.parameters)])
        with torch.no_grad():
            net.vector.add_(gradient, alpha=-0.1)
    for name, weights in net.read().items():
        np.testing.assert_allclose(dense.final[name], weights, rtol=1e-4, atol=1e-6)


def test_only_the_streams_make_a_reordered_network_another_one_than_the_dense_one():
    chain, _ = run("reordered")
    control = tiny_lineage(rewind={"step": K}, prune=PRUNE, train=SGD, treatment="reordered")
    begin = beginning(LevelTask(control, 0, rewind=chain[0].rewind), tiny_data())
    assert begin.streams == Streams("order:reordered:0", "augment:reordered:0")
    plan = Plan(control, begin.weights, begin.mask, first_step=begin.first_step)
    same = start_training(plan, tiny_data(), Pulse())
    same.advance(control.train.steps)
    assert content_digest(same.finish().final) == chain[0].core["digests"]["final"]


def test_repeats_of_reordered_see_different_batches():
    lineage = tiny_lineage(train=SGD, treatment="reordered")
    dense = train_level(LevelTask(tiny_lineage(train=SGD), 0), tiny_data())
    finals = {
        train_level(LevelTask(lineage.model_copy(update={"repeat": n}), 0, rewind=dense.rewind), tiny_data()).core[
            "digests"
        ]["final"]
        for n in range(3)
    }
    assert len(finals) == 3


def test_streams_that_were_used_are_in_the_record_and_no_others():
    plain, augmented = (
        train_level(LevelTask(tiny_lineage(train=t), 0), tiny_data()).core["seeds"]
        for t in (SGD, {**SGD, "flip": True})
    )
    assert plain.keys() == {"init", "split", "order"}
    assert augmented.keys() == {"init", "split", "order", "augment"}
    _, control = run("frozen")
    assert control[0].core["seeds"].keys() == {"init", "split", "order"}
    _, control = run("noise[sigma=2.0]")
    assert control[0].core["seeds"].keys() == {"init", "split", "order", "control"}


def test_only_controls_of_the_dense_network_begin_at_level_0():
    rewind = train_level(LevelTask(tiny_lineage(), 0), tiny_data()).rewind
    for treatment in ("frozen", "noise[sigma=2.0]", "identity"):
        with pytest.raises(UserError, match="begins at level 1"):
            train_level(LevelTask(tiny_lineage(treatment=treatment), 0, rewind=rewind), tiny_data())

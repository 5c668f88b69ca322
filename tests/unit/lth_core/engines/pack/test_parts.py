"""The parts of the pack engine, each against the function of the reference that it stands for."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from lth_core import random
from lth_core.data import epoch_batches, split
from lth_core.dropout import CounterDropout
from lth_core.engines.pack import philox, plain
from lth_core.engines.pack.drops import DropTable
from lth_core.engines.pack.graphs import Branches, Program
from lth_core.engines.pack.layout import Arrangement
from lth_core.engines.pack.moments import FullMoments
from lth_core.engines.pack.orders import OrderBook, OrderRequest
from lth_core.engines.pack.rates import Rates
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import PackShape, optimizer_kind
from lth_core.engines.pack.stages import Layer
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.survivors import SurvivorMoments
from lth_core.names import NormalisationKind
from lth_core.optimizers import build_optimizer, moments
from lth_core.parts import Train
from lth_core.schedules import learning_rate
from tests.support.pack_plans import IMAGES, plan_of
from tests.support.tiny import tiny_data, tiny_lineage

CPU = torch.device("cpu")
LAYER = Layer(inputs=9, outputs=5, weight=0, bias=45)


@pytest.mark.parametrize("normalisation", get_args(NormalisationKind))
@pytest.mark.parametrize("shape", [(1, 4, 4), IMAGES])
def test_bytes_through_the_table_are_the_very_floats_of_the_reference(shape, normalisation):
    data = tiny_data(shape, normalisation)
    resident = ResidentData.of(data)
    index = torch.tensor([[5, 0, 119]], dtype=torch.int32)
    found = plain.take(resident.train_images, resident.train_scales, resident.table, resident.pixels, index)
    assert torch.equal(found.view(3, *shape).view(torch.int32), data.train_images[[5, 0, 119]].view(torch.int32))
    assert torch.equal(resident.test_labels.long(), data.test_labels)


def test_images_that_no_bytes_stand_for_are_refused():
    data = tiny_data()
    halves = type(data)(data.info, data.normalisation, data.train_images / 2, *list(vars(data).values())[3:])
    with pytest.raises(ValueError, match="must hold normalised bytes"):
        ResidentData.of(halves)


def test_permutations_in_tensors_are_those_of_numpy():
    keys, epochs = [0, 2**64 - 1, random.seed_key(3, "order")] * 7, list(range(21))
    found = philox.permutations(keys, epochs, 300, CPU)
    for row, key, epoch in zip(found, keys, epochs, strict=True):
        assert np.array_equal(row.numpy(), random.permutation(key, 300, step=epoch))


def test_orders_cross_epochs_and_agree_with_the_reference_on_both_ways_to_compute_them():
    book, parts = OrderBook(120, 16, CPU), split(120, 2)
    request = OrderRequest(2, "order:x", first=4, num_steps=11)
    book.prepare([request, OrderRequest(1, "order", 0, 0)])
    whole = np.concatenate([epoch_batches(parts, 2, epoch, 16, "order:x") for epoch in range(3)])
    assert np.array_equal(book.batches(request).numpy(), whole[4:15])
    epochs = [(2, "order:x", epoch) for epoch in range(3)]
    assert np.array_equal(torch.cat(book.compute_in_tensors(epochs)).numpy(), whole)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1, "weight_decay_mode": "decoupled"},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "weight_decay_mode": "decoupled"},
    ],
)
@pytest.mark.parametrize("where", ["at every weight", "at survivors"])
def test_an_update_is_that_of_the_optimizer(options, where):
    train = Train(**{"steps": 40, "lr": 0.02, "schedule": "cosine", **options})
    draw, kind = torch.Generator().manual_seed(1), optimizer_kind(train)
    keep = torch.rand(50, generator=draw) < 0.5
    keep[7], keep[LAYER.bias :] = False, True
    theirs = torch.randn(50, generator=draw).masked_fill_(~keep, 0)
    optimizer = build_optimizer(train, theirs)
    state = PackState(2, Arrangement(50), 0, 20, 1, CPU)
    ours = FullMoments(kind, state) if where == "at every weight" else SurvivorMoments(kind, state, [LAYER])
    ours.load(1, keep.numpy(), [np.zeros(50, np.float32) for _ in moments(optimizer)])
    state.write_parameters(1, state.weights, theirs.numpy())
    state.rates[:, 1].copy_(torch.from_numpy(Rates(plan_of(tiny_lineage(train=vars(train)))).columns(3, 20, 0)))
    state.decay[1] = train.weight_decay if train.weight_decay_mode == "coupled" else 0.0
    state.momentum[1] = train.momentum
    state.clock.start([0, 20])
    for i in range(20):
        gradient = torch.zeros(1, state.weights.shape[1])
        gradient[0, :50] = torch.randn(50, generator=draw)
        optimizer.step(gradient[0, :50].masked_fill(~keep, 0), learning_rate(train, 3 + i))
        gradient[0, 7] = float("nan")  # a pruned weight is selected away, whatever its gradient is
        ours.update(gradient, slice(1, 2))
        state.clock.tick()
    found = torch.from_numpy(state.read_parameters(1, state.weights))
    assert (found - theirs).abs().max() < 1e-6
    assert not found[~keep].any()
    assert not state.weights[0].any()
    for vector, wanted in zip(ours.read(1), moments(optimizer), strict=True):
        assert (torch.from_numpy(vector) - wanted).abs().max() < 1e-6


def test_rates_do_not_depend_on_where_a_segment_begins():
    rates = Rates(plan_of(tiny_lineage(train={"steps": 40, "warmup_steps": 9})))
    whole = rates.columns(0, 40, 5)
    assert np.array_equal(whole[17:30], rates.columns(17, 13, 22))


def test_drop_tables_hold_the_masks_that_the_layer_draws():
    key = random.seed_key(4, "dropout")
    row = torch.zeros(1, dtype=torch.int32)
    tabled, own = CounterDropout(0.4, key, 1), CounterDropout(0.4, key, 1)
    table, x = DropTable(tabled, 21, 3, row), torch.ones(3, 7)
    table.fill(key, 8, 3)
    for i in range(3):
        own.step = 8 + i
        assert torch.equal(tabled(x), own(x))
        row.add_(1)


def test_words_in_tensors_are_those_of_numpy():
    keys = philox.halves([3, 2**63 + 5], CPU)
    found = torch.stack(philox.words(keys, 9, torch.tensor([0, 7]), tensor=2), dim=2)
    for row, key, step in ((0, 3, 0), (1, 2**63 + 5, 7)):
        assert np.array_equal(found[row].numpy(), random.words(key, 9, step=step, tensor=2))


def test_a_program_without_graphs_runs_its_body_and_branches_run_in_order():
    clock, seen = Clock(5, 2, CPU), []
    program = Program(clock.tick, clock)
    program.run(3)
    assert int(clock.cursor) == 3
    Branches(2, CPU).run([lambda: seen.append("a"), lambda: seen.append("b")])
    assert seen == ["a", "b"]


def test_a_clock_notes_only_the_slots_that_take_the_step():
    clock = Clock(4, 3, CPU)
    clock.start([2, 1, 0])
    clock.tick()
    clock.note(torch.tensor([1.0, 2.0, float("nan")]), torch.tensor([3, 4, 5], dtype=torch.int32))
    assert clock.losses.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert clock.correct.tolist() == [[0, 0, 0], [3, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert clock.running() == [0]


def test_shapes_differ_where_arithmetic_does_and_nowhere_else():
    base = PackShape.of(plan_of(tiny_lineage()))
    same = {"lr": 0.1, "steps": 50, "eval_every": 7, "label_smoothing": 0.1, "weight_decay": 0.1, "milestones": (3,)}
    assert PackShape.of(plan_of(tiny_lineage(train=same, replicate=4), density=0.1)) == base
    for other in ({"optimizer": "sgd"}, {"batch_size": 8}, {"flip": True}):
        assert PackShape.of(plan_of(tiny_lineage(train=other))) != base
    assert base.variant == "own"
    assert PackShape.of(plan_of(tiny_lineage(train={"flip": True}))).variant == "branches"

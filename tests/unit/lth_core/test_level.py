"""One level: what it starts from, what it must not touch, and that its bits are its own."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from lth_core import evaluation, random
from lth_core.errors import LevelCancelled, NonFiniteError, UserError
from lth_core.expansion import WINNING_TICKET
from lth_core.initialisation import glorot_normal
from lth_core.level import train_level
from lth_core.level_task import LevelTask
from lth_core.masks import full_mask
from lth_core.model_spec import ModelSpec
from lth_core.pruning import next_mask
from lth_core.weights import content_digest
from tests.support.tiny import tiny_data, tiny_lineage

RECIPES = {
    "adam": {},
    "adam with decay": {"weight_decay": 0.01},
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum with decay": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
}


def trained(lineage, level=0, mask=None, rewind=None, **options):
    return train_level(LevelTask(lineage, level, mask, rewind), tiny_data(lineage.in_shape), **options)


def dense_and_mask(lineage):
    dense = trained(lineage)
    return dense, next_mask(lineage, None, dense.final, rewind=dense.rewind, level=0)


def rows(result):
    return [json.loads(line) for line in result.curves.splitlines()]


def test_the_dense_network_starts_from_the_initialisation_and_learns():
    lineage = tiny_lineage(train={"steps": 60})
    result = trained(lineage)
    init = glorot_normal(lineage.tensors(), random.seed_key(0, "init"))
    assert content_digest(result.rewind) == content_digest(init)
    assert all(bits.all() for bits in result.mask.values())
    assert result.next_mask is None
    metrics = result.core["metrics"]
    assert metrics["start_test_accuracy"] < 0.6 < 0.9 <= metrics["end_test_accuracy"]
    assert metrics["end_train_loss"] < 0.3


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("steps", [1, 2, 3, 30])
def test_pruned_weights_are_plus_zero_after_every_step_and_negative_ones_move(recipe, steps):
    lineage = tiny_lineage(train={**RECIPES[recipe], "steps": steps, "eval_every": 1}, prune={"fraction": 0.5})
    dense, mask = dense_and_mask(lineage)
    result = trained(lineage, 1, mask, dense.rewind)
    for name, bits in mask.items():
        assert not result.final[name].view(np.uint32)[~bits].any()
    start = dense.rewind["out.weight"]
    negative = (start < 0) & mask["out.weight"]
    assert (result.final["out.weight"] != start)[negative].all()


@pytest.mark.parametrize("treatment", [WINNING_TICKET, "random_mask", "shuffled_mask"])
@pytest.mark.parametrize("k", [0, 7])
def test_kept_weights_start_as_w_k_bit_for_bit(treatment, k):
    chain = tiny_lineage(rewind_step=k)
    dense, mask = dense_and_mask(chain)
    before = content_digest(dense.rewind)
    result = trained(chain.model_copy(update={"treatment": treatment}), 1, mask, dense.rewind)
    assert result.core["rewind_max_abs_err"] == 0
    assert result.core["digests"]["rewind"] == before == content_digest(dense.rewind) == content_digest(result.rewind)
    assert result.core["rewind_step"] == k


def test_w_k_is_the_dense_training_cut_short_at_step_k():
    short = trained(tiny_lineage(train={"steps": 7, "eval_every": 7}))
    recorded = trained(tiny_lineage(rewind_step=7))
    assert content_digest(recorded.rewind) == content_digest(short.final)
    assert content_digest(recorded.final) == content_digest(trained(tiny_lineage()).final)


def test_a_rewound_level_goes_on_at_step_k_with_the_order_and_schedule_of_the_dense_network():
    recipe = {"optimizer": "sgd", "lr": 0.1, "milestones": (12, 20), "warmup_steps": 9}
    lineage = tiny_lineage(train=recipe, rewind_step=7)
    dense = trained(lineage)
    ones = trained(lineage, 1, full_mask(lineage.tensors()), dense.rewind)
    assert content_digest(ones.final) == content_digest(dense.final)  # plain SGD has no state to lose
    assert [row["step"] for row in rows(ones)] == [7, 10, 20, 30]
    assert [row["lr"] for row in rows(ones)][1:] == [row["lr"] for row in rows(dense)][1:]


def test_a_mask_of_ones_equals_the_dense_network_bit_for_bit():
    for recipe in RECIPES.values():
        lineage = tiny_lineage(train=recipe)
        dense = trained(lineage)
        ones = trained(lineage, 1, full_mask(lineage.tensors()), dense.rewind)
        assert content_digest(ones.final) == content_digest(dense.final)
        assert ones.curves == dense.curves


def test_the_identity_control_equals_its_ticket_bit_for_bit():
    lineage = tiny_lineage(rewind_step=3)
    dense, mask = dense_and_mask(lineage)
    ticket = trained(lineage, 1, mask, dense.rewind)
    control = trained(lineage.model_copy(update={"treatment": "identity"}), 1, mask, dense.rewind)
    assert control.core["digests"] == {**ticket.core["digests"], "next_mask": None}
    assert control.core["metrics"] == ticket.core["metrics"]


def test_random_reinit_starts_from_its_own_draw_and_reports_it():
    lineage = tiny_lineage(treatment="random_reinit")
    dense, mask = dense_and_mask(tiny_lineage())
    result = trained(lineage, 2, mask, dense.rewind)
    own = glorot_normal(lineage.tensors(), random.seed_key(0, "random_reinit:0"), level=2)
    assert content_digest(result.rewind) == content_digest(own)
    assert result.core["rewind_max_abs_err"] == 0
    assert result.next_mask is None


def test_the_same_task_gives_the_same_bits_whatever_ran_before_it():
    lineage = tiny_lineage(rewind_step=3)
    first = trained(lineage)
    torch.manual_seed(99)
    np.random.seed(99)
    trained(tiny_lineage(replicate=5, train={"steps": 9}))
    again = trained(lineage)
    assert again.core == first.core
    assert again.curves == first.curves


def test_replicates_differ_in_initialisation_order_and_split():
    one, two = trained(tiny_lineage(replicate=0)), trained(tiny_lineage(replicate=1))
    assert one.core["seeds"].keys() == {"init", "split", "order"}
    assert not set(one.core["seeds"].values()) & set(two.core["seeds"].values())
    assert one.core["digests"]["rewind"] != two.core["digests"]["rewind"]
    assert one.core["validation_sha256"] != two.core["validation_sha256"]


def test_validation_is_read_every_eval_every_steps_and_at_the_end():
    result = trained(tiny_lineage(train={"steps": 25, "eval_every": 10}))
    assert [row["step"] for row in rows(result)] == [0, 10, 20, 25]
    assert all(row["val_loss"] is not None for row in rows(result))


def test_the_test_set_is_read_at_the_start_at_early_stop_and_at_the_end_only():
    result = trained(tiny_lineage(train={"steps": 200, "lr": 0.05}))
    metrics = result.core["metrics"]
    read = [row["step"] for row in rows(result) if row["test_loss"] is not None]
    assert read == [0, metrics["early_stop_step"], 200]
    best = min(rows(result)[1:], key=lambda row: (row["val_loss"], row["step"]))
    assert metrics["early_stop_step"] == best["step"]
    assert metrics["converged"]
    assert (metrics["test_accuracy"], metrics["test_loss"]) == (best["test_accuracy"], best["test_loss"])


def test_the_copied_weights_give_the_test_figures_of_the_whole_test_curve():
    recipe = {"steps": 200, "lr": 0.05}
    sparing = trained(tiny_lineage(train=recipe))
    whole = trained(tiny_lineage(train={**recipe, "test_curve": True}))
    assert all(row["test_loss"] is not None for row in rows(whole))
    assert whole.core["metrics"] == sparing.core["metrics"]
    assert content_digest(whole.final) == content_digest(sparing.final)


def test_evaluating_more_often_changes_no_weight():
    often = trained(tiny_lineage(train={"eval_every": 1}))
    rarely = trained(tiny_lineage(train={"eval_every": 30}))
    assert content_digest(often.final) == content_digest(rarely.final)


def test_selection_never_sees_the_test_set(monkeypatch):
    lineage = tiny_lineage(train={"steps": 200, "lr": 0.05})
    data = tiny_data()
    wrong = train_level(LevelTask(lineage, 0), replace_labels(data))
    right = train_level(LevelTask(lineage, 0), data)
    assert wrong.core["metrics"]["early_stop_step"] == right.core["metrics"]["early_stop_step"]
    assert wrong.core["digests"]["final"] == right.core["digests"]["final"]
    assert wrong.core["metrics"]["test_accuracy"] != right.core["metrics"]["test_accuracy"]


def replace_labels(data):
    from dataclasses import replace

    return replace(data, test_labels=(data.test_labels + 1) % 3)


def test_a_conv_net_trains_prunes_and_rewinds():
    lineage = tiny_lineage(
        model=ModelSpec(name="conv_2"),
        shape=(3, 6, 6),
        train={"steps": 6, "eval_every": 3, "lr": 0.001},
        prune={"fraction": 0.2, "conv_fraction": 0.1},
    )
    dense, mask = dense_and_mask(lineage)
    result = trained(lineage, 1, mask, dense.rewind)
    kept = {layer["name"]: layer["kept"] for layer in result.core["layers"]}
    assert kept["conv1.weight"] == 1728 - 173
    assert kept["conv2.weight"] == 36864 - 3686
    assert kept["out.weight"] == 768 - 77
    assert result.core["rewind_max_abs_err"] == 0
    for name, bits in mask.items():
        assert not result.final[name].view(np.uint32)[~bits].any()
    assert trained(lineage, 1, mask, dense.rewind).core == result.core


def test_a_layer_without_survivors_is_trained_and_marked():
    lineage = tiny_lineage()
    dense, mask = dense_and_mask(lineage)
    mask["fc2.weight"][:] = False
    result = trained(lineage, 1, mask, dense.rewind)
    assert result.core["collapsed"]
    assert result.core["layers"][1]["kept"] == 0


def test_a_training_that_diverges_says_where():
    lineage = tiny_lineage(train={"optimizer": "sgd", "lr": 10.0, "weight_decay": 1.0, "steps": 100})
    with pytest.raises(NonFiniteError, match="not finite at step") as caught:
        trained(lineage)
    assert caught.value.step % 10 == 0


def test_progress_is_heard_and_a_wish_to_stop_ends_the_level():
    heard = []
    trained(tiny_lineage(train={"steps": 200, "eval_every": 100}), on_progress=heard.append)
    assert heard == sorted(heard)
    assert {0, 100, 200} <= set(heard)
    assert max(b - a for a, b in itertools.pairwise(heard)) <= 50
    with pytest.raises(LevelCancelled) as caught:
        trained(tiny_lineage(train={"steps": 100_000, "eval_every": 100_000}), should_stop=lambda: len(heard) > 5)
    assert caught.value.step <= 50


def test_a_task_that_does_not_fit_is_the_users_error():
    lineage = tiny_lineage()
    ones = full_mask(lineage.tensors())
    weights = glorot_normal(lineage.tensors(), 0)
    with pytest.raises(UserError, match="batch_size must be <= the 108 training examples, got 109"):
        trained(tiny_lineage(train={"batch_size": 109}))
    with pytest.raises(UserError, match="defined on data"):
        trained(lineage.model_copy(update={"dataset_digest": "0" * 64}))
    with pytest.raises(UserError, match="data of normalisation unit_norm, got standard"):
        trained(lineage.model_copy(update={"normalisation": "unit_norm"}))
    with pytest.raises(UserError, match=r"level 1 of winning_ticket starts from \['dense_final', 'rewind'\], got \[\]"):
        trained(lineage, 1)
    with pytest.raises(UserError, match=r"level 2 of winning_ticket starts from \['mask', 'rewind'\]"):
        trained(lineage, 2, None, weights)
    with pytest.raises(UserError, match=r"level 0 of winning_ticket starts from \[\], got \['mask', 'rewind'\]"):
        trained(lineage, 0, ones, weights)
    with pytest.raises(UserError, match="begins at level 1"):
        trained(lineage.model_copy(update={"treatment": "random_mask"}))
    with pytest.raises(UserError, match="defined for cuda"):
        trained(lineage.model_copy(update={"device_class": "cuda"}))
    with pytest.raises(ValueError, match="exactly"):
        trained(lineage, 1, ones, {name: array for name, array in weights.items() if name != "out.bias"})


def test_errors_survive_the_way_between_processes():
    import pickle

    for error in (NonFiniteError(7, "weight"), LevelCancelled(9)):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert (type(copy), str(copy), copy.step) == (type(error), str(error), error.step)


def test_the_evaluation_batch_is_part_of_the_numerics():
    assert evaluation.EVAL_BATCH_SIZE == 500  # another value moves last bits, and with them early-stopping steps

"""Ways of finding a level's mask, from the dense network to the trained level."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lth_core import random
from lth_core.data import load
from lth_core.errors import UserError
from lth_core.expansion import DatasetInfo
from lth_core.initialisation import glorot_normal
from lth_core.level import train_level
from lth_core.level_task import LevelTask, task_of
from lth_core.lineage import run_control, run_lineage
from lth_core.masks import full_mask, pack_mask
from lth_core.model_spec import ModelSpec
from lth_core.transfer import Ticket
from lth_core.treatments import Origin
from lth_core.weights import Weights, content_digest
from tests.support.tiny import SHAPE, tiny_arrays, tiny_data, tiny_info, tiny_lineage

DENSITIES = (0.6, 0.3)
AT_INIT = ("magnitude_at_init", "random_at_init", "snip", "grasp", "synflow")


def chain_of(method: str, **options):
    prune = {"densities": DENSITIES, "levels": 2, **options.pop("prune", {})}
    lineage = tiny_lineage(method=method, prune=prune, **options)
    return lineage, list(run_lineage(lineage, tiny_data(), 3))


def largest(weights: Weights, lineage, density: float):
    """Keep the same share of every layer, by magnitude; ranked with plain numpy."""
    kept = {}
    for tensor in lineage.tensors():
        if tensor.prunable:
            order = np.argsort(-np.abs(weights[tensor.name].reshape(-1)), kind="stable")
            bits = np.zeros(tensor.size, bool)
            bits[order[: round(density * tensor.size)]] = True
            kept[tensor.name] = bits.reshape(tensor.shape)
    return kept


def differing(left, right) -> int:
    return sum(int(np.count_nonzero(left[name] != right[name])) for name in left)


def test_one_shot_finds_every_mask_from_one_dense_training_and_goes_back_to_w_k():
    lineage, (dense, *later) = chain_of("one_shot", rewind_step=5)
    for density, result in zip(DENSITIES, later, strict=True):
        assert differing(result.mask, largest(dense.final, lineage, density)) <= 2  # shares are rounded to the total
        assert result.core["kept"] == round(density * 312)
        assert result.next_mask is None
        assert content_digest(result.rewind) == content_digest(dense.rewind)
        assert result.core["rewind_max_abs_err"] == 0
        assert "label" not in result.core


@pytest.mark.parametrize("method", AT_INIT)
def test_pruning_at_initialisation_sees_no_trained_weights_and_keeps_the_asked_density(method):
    lineage, (dense, *later) = chain_of(method, rewind_step=5)
    for level, result in enumerate(later, start=1):
        assert result.core["kept"] == round(DENSITIES[level - 1] * 312)
        assert content_digest(result.rewind) == content_digest(dense.rewind)
        assert result.next_mask is None
        assert result.core["lineage"]["method"] == method
        again = train_level(LevelTask(lineage, level, rewind=dense.rewind), tiny_data())
        assert again.core == result.core
    if method == "magnitude_at_init":
        assert differing(later[1].mask, largest(dense.rewind, lineage, DENSITIES[1])) <= 2
    assert ("method" in later[0].core["seeds"]) == (method == "random_at_init")


def test_without_densities_the_counts_of_every_method_are_those_of_as_many_prunings():
    prune = {"densities": (), "levels": 2, "fraction": 0.4}
    counts = [[r.core["kept"] for r in chain_of(method, prune=prune)[1]] for method in ("imp", "one_shot", "snip")]
    assert counts[0] == counts[1] == counts[2]


def test_gradual_pruning_tightens_one_mask_while_training_and_ends_as_a_trained_network():
    prune = {"begin_step": 6, "end_step": 18, "every": 4}
    lineage, (dense, *later) = chain_of("gradual", rewind_step=3, prune=prune)
    for density, result in zip(DENSITIES, later, strict=True):
        assert result.core["kept"] == round(density * 312)
        assert result.core["label"] == "trained"
        assert result.core["rewind_max_abs_err"] == 0
        assert content_digest(result.rewind) == content_digest(dense.rewind)
        assert all(not result.final[name].view(np.uint32)[~bits].any() for name, bits in result.mask.items())
        assert result.next_mask is None
    sooner = chain_of("gradual", rewind_step=3, prune={**prune, "begin_step": 4})[1]
    assert sooner[1].core["digests"]["final"] != later[0].core["digests"]["final"]
    late = chain_of("gradual", rewind_step=20, prune=prune)[1]
    assert late[1].core["rewind_max_abs_err"] == 0  # evaluated as W_k, then pruned to its end before its first step
    assert late[1].core["kept"] == round(DENSITIES[0] * 312)
    mask = largest(late[0].rewind, lineage, DENSITIES[0])
    assert differing(late[1].mask, mask) <= 2


@pytest.mark.parametrize("method", ["one_shot", "snip", "gradual"])
def test_the_identity_control_of_every_method_equals_its_parent_bit_for_bit(method):
    lineage, chain = chain_of(method, rewind_step=3)
    control = lineage.model_copy(update={"treatment": "identity"})
    masks = [(n, result.mask) for n, result in enumerate(chain) if n]
    finals = {n: result.final for n, result in enumerate(chain)}
    for found, parent in zip(
        run_control(control, tiny_data(), masks, chain[0].rewind, finals=finals), chain[1:], strict=True
    ):
        assert found.core["digests"] == parent.core["digests"]
        assert found.core["metrics"] == parent.core["metrics"]


def other_classes():
    """The tiny images with one class less."""
    arrays = {name: array.copy() for name, array in tiny_arrays().items()}
    for part in ("train", "test"):
        arrays[f"{part}_labels"] %= 2
    info = DatasetInfo(
        name="two", digest=content_digest(arrays), shape=SHAPE, num_classes=2, num_train=120, num_test=40
    )
    return info, load(info, arrays)


def transferred(info, found, **options):
    """A lineage on another data set that takes over a ticket found on the tiny one."""
    origin = Origin(
        mask_sha256="a" * 64,
        rewind_sha256="b" * 64,
        model=found.model,
        in_shape=found.in_shape,
        num_classes=found.num_classes,
    )
    sizes = (*found.model.sizes[:-1], info.num_classes)
    update = {
        "model": ModelSpec(name="mlp", sizes=sizes),
        "dataset_name": info.name,
        "dataset_digest": info.digest,
        "num_classes": info.num_classes,
        "method": "transfer",
        "origin": origin,
        **options,
    }
    return found.model_copy(update=update)


def test_a_ticket_moves_to_data_with_other_classes_under_a_fresh_output_layer():
    found = tiny_lineage(prune={"fraction": 0.5})
    dense, ticket = run_lineage(found, tiny_data(), 2)
    info, data = other_classes()
    lineage = transferred(info, found, prune=found.prune.model_copy(update={"levels": 1}))
    start, moved = run_lineage(lineage, data, 2, origin=Ticket(ticket.mask, dense.rewind))
    fresh = glorot_normal(lineage.tensors(), random.seed_key(0, "init"))
    for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"):
        assert np.array_equal(start.rewind[name], dense.rewind[name])
    for name in ("out.weight", "out.bias"):
        assert start.rewind[name].tobytes() == fresh[name].tobytes()
    assert np.array_equal(moved.mask["fc1.weight"], ticket.mask["fc1.weight"])
    assert np.array_equal(moved.mask["fc2.weight"], ticket.mask["fc2.weight"])
    assert moved.mask["out.weight"].all()
    assert content_digest(moved.rewind) == content_digest(start.rewind)
    assert moved.core["rewind_max_abs_err"] == 0
    assert start.core["lineage"]["origin"] == moved.core["lineage"]["origin"]
    assert moved.core["lineage"]["method"] == "transfer"


def test_a_ticket_trained_on_its_own_data_again_is_the_ticket():
    found = tiny_lineage(prune={"fraction": 0.5})
    dense, ticket = run_lineage(found, tiny_data(), 2)
    lineage = transferred(tiny_info(), found, prune=found.prune.model_copy(update={"levels": 1}))
    start, moved = run_lineage(lineage, tiny_data(), 2, origin=Ticket(ticket.mask, dense.rewind))
    assert start.core["digests"] == dense.core["digests"]
    assert moved.core["digests"] == {**ticket.core["digests"], "next_mask": None}


def test_a_transfer_without_its_ticket_is_the_users_error():
    lineage = tiny_lineage(method="transfer")
    with pytest.raises(UserError, match="needs the ticket"):
        train_level(task_of(lineage, 0), tiny_data())
    with pytest.raises(UserError, match=r"starts from \['origin'\]"):
        train_level(task_of(transferred(tiny_info(), tiny_lineage()), 0), tiny_data())


def test_a_criterion_that_looks_at_both_ends_ranks_by_w_k_and_w_t():
    lineage, (dense, first, *_) = chain_of(
        "imp", rewind_step=5, prune={"densities": (), "criterion": "movement", "fraction": 0.5}
    )
    for tensor in lineage.tensors():
        if tensor.prunable:
            moved = np.abs(dense.final[tensor.name] - dense.rewind[tensor.name])
            kept = first.mask[tensor.name]
            assert moved[~kept].max() <= moved[kept].min()


def test_level_0_is_one_for_all_methods_that_train_it_alike():
    cores = [train_level(task_of(tiny_lineage(method=m), 0), tiny_data()).core for m in ("imp", "one_shot", "snip")]
    assert cores[0] == cores[1] == cores[2]


def test_masks_of_one_ranking_are_nested():
    for method in ("one_shot", "magnitude_at_init", "random_at_init", "snip", "grasp"):
        prune = {"densities": (), "levels": 3, "fraction": 0.4}
        for before, after in pairwise(chain_of(method, prune=prune)[1]):
            assert not any((after.mask[name] & ~before.mask[name]).any() for name in after.mask), method


def test_a_chain_can_be_given_the_mask_that_it_would_find():
    lineage, (dense, first, _) = chain_of("one_shot")
    given = train_level(LevelTask(lineage, 1, first.mask, dense.rewind), tiny_data())
    assert given.core == first.core
    ones = train_level(LevelTask(lineage, 1, full_mask(lineage.tensors()), dense.rewind), tiny_data())
    assert ones.core["digests"]["final"] == dense.core["digests"]["final"]
    assert ones.core["digests"]["mask"] == dense.core["digests"]["mask"]
    assert pack_mask(ones.mask, lineage.tensors()) == pack_mask(dense.mask, lineage.tensors())

"""What each control takes from its ticket, what it makes itself, and from which stream."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from lth_core import random
from lth_core.controls import starting_point
from lth_core.controls_masks import MASKS
from lth_core.controls_weights import WEIGHTS
from lth_core.errors import UserError
from lth_core.initialisation import glorot_normal
from lth_core.masks import full_mask, kept_per_layer
from lth_core.model_spec import ModelSpec
from lth_core.names import TreatmentName
from lth_core.pruning import next_mask
from lth_core.streams import Streams, purpose
from lth_core.weights import content_digest
from tests.support.tiny import tiny_data, tiny_lineage

LINEAGE = tiny_lineage(prune={"fraction": 0.4})
TENSORS = LINEAGE.tensors()
REWIND = glorot_normal(TENSORS, random.seed_key(0, "init"))
FINAL = glorot_normal(TENSORS, 9)
MASKS_OF_LEVELS = [next_mask(LINEAGE, None, FINAL, rewind=REWIND, level=0)]
for _level in range(1, 4):
    MASKS_OF_LEVELS.append(next_mask(LINEAGE, MASKS_OF_LEVELS[-1], FINAL, rewind=REWIND, level=_level))
LABELS = [*get_args(TreatmentName), "noise[sigma=3.0]", "signed_constant[rescaled]"]
KEEP_BOTH = ("winning_ticket", "identity", "reset", "frozen", "reordered")
DRAW = ("random_reinit", "random_mask", "shuffled_mask", "random_sparse", "reuse", "reuse_sign", "noise")


def start(treatment: str, level: int = 1, repeat: int = 0, replicate: int = 0):
    lineage = LINEAGE.model_copy(update={"treatment": treatment, "repeat": repeat, "replicate": replicate})
    return starting_point(lineage, level, MASKS_OF_LEVELS[level - 1], REWIND, dense_final=FINAL, data=tiny_data())


def equal(a, b) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("treatment", KEEP_BOTH)
def test_a_ticket_and_what_differs_from_it_elsewhere_take_mask_and_weights_as_they_are(treatment):
    found = start(treatment)
    assert equal(found.mask, MASKS_OF_LEVELS[0])
    assert content_digest(found.weights) == content_digest(REWIND)
    assert found.held == (treatment == "frozen")


def test_only_a_reordered_control_sees_other_batches_and_each_repeat_its_own():
    assert start("reordered", repeat=2).streams == Streams("order:reordered:2", "augment:reordered:2")
    assert start("reordered", repeat=0).streams != start("reordered", repeat=1).streams
    for label in {*LABELS, "winning_ticket"} - {"reordered"}:
        assert start(label).streams == Streams("order", "augment")


def test_a_reordered_control_has_a_dense_level_of_its_own():
    lineage = LINEAGE.model_copy(update={"treatment": "reordered"})
    found = starting_point(lineage, 0, full_mask(TENSORS), REWIND)
    assert all(kept.all() for kept in found.mask.values())
    assert content_digest(found.weights) == content_digest(REWIND)


@pytest.mark.parametrize("label", LABELS)
def test_every_control_keeps_its_tickets_counts_per_layer(label):
    for level in (1, 4):
        found = start(label, level)
        assert kept_per_layer(found.mask) == kept_per_layer(MASKS_OF_LEVELS[level - 1])
        assert list(found.weights) == list(REWIND)
        assert all(w.dtype == np.float32 and w.shape == REWIND[n].shape for n, w in found.weights.items())


@pytest.mark.parametrize("label", LABELS)
def test_a_control_changes_the_mask_the_weights_or_nothing_as_its_name_says(label):
    found, name = start(label), label.partition("[")[0]
    assert equal(found.mask, MASKS_OF_LEVELS[0]) == (name not in MASKS)
    assert equal(found.weights, REWIND) == (name not in WEIGHTS)


@pytest.mark.parametrize("treatment", DRAW)
def test_equal_seeds_give_equal_draws_and_others_give_others(treatment):
    def drawn(**which):
        found = start(treatment, **which)
        return content_digest({**{f"m.{n}": m for n, m in found.mask.items()}, **found.weights})

    assert drawn() == drawn()
    assert len({drawn(), drawn(repeat=1), drawn(replicate=1)}) == 3


def test_streams_of_controls_are_named_by_label_and_repeat():
    def named(treatment, repeat):
        return purpose(LINEAGE.model_copy(update={"treatment": treatment, "repeat": repeat}))

    assert named("random_reinit", 0) == "random_reinit:0"
    assert named("noise[sigma=3.0]", 2) == "noise[sigma=3.0]:2"


def test_controls_leave_what_they_are_given_alone():
    mask = {name: bits.copy() for name, bits in MASKS_OF_LEVELS[0].items()}
    weights = {name: values.copy() for name, values in REWIND.items()}
    for label in LABELS:
        start(label)
    assert equal(mask, MASKS_OF_LEVELS[0])
    assert equal(weights, REWIND)


@pytest.mark.parametrize("label", LABELS)
def test_normalisation_and_running_statistics_are_never_masked_and_stay_as_they_are(label):
    model = ModelSpec(name="resnet_20", width=2)
    lineage = tiny_lineage(model=model, shape=(3, 8, 8), prune={"fraction": 0.4}, treatment=label)
    generator = np.random.default_rng(3)
    rewind = {t.name: generator.normal(0, 1, t.shape).astype(np.float32) for t in lineage.tensors()}
    mask = next_mask(lineage, None, rewind, rewind=rewind, level=0)
    found = starting_point(lineage, 1, mask, rewind, dense_final=rewind)
    assert set(found.mask) == {t.name for t in lineage.tensors() if t.prunable}
    fresh = label in ("random_reinit", "random_sparse")
    expected = glorot_normal(lineage.tensors(), 0) if fresh else rewind
    rest = [t.name for t in lineage.tensors() if not t.prunable]
    assert any("running_var" in name for name in rest)
    assert all(np.array_equal(found.weights[name], expected[name]) for name in rest)


def test_an_unknown_treatment_is_the_users_error():
    with pytest.raises(UserError, match="treatment must be one of"):
        start("permute_all")


def test_a_mask_of_another_network_is_refused():
    with pytest.raises(ValueError, match="covers exactly"):
        starting_point(LINEAGE, 1, {"fc1.weight": np.ones((12, 16), dtype=np.bool_)}, REWIND)

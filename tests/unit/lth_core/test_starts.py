"""Where a level starts, in words, and what its network is called."""

from __future__ import annotations

import pytest

from lth_core.starts import level_label, start_document
from tests.support.tiny import tiny_lineage


def test_the_dense_network_starts_from_its_initialisation() -> None:
    assert start_document(tiny_lineage(rewind={"step": 5, "optimizer": "restore"}), 0) == {
        "weights": "W_0",
        "pruned": "zero",
        "step": 0,
        "schedule_step": 0,
        "schedule": "replayed",
        "optimizer": "fresh",
    }


@pytest.mark.parametrize(
    ("rewind", "weights", "schedule", "schedule_step"),
    [
        ({"step": 5}, "W_5", "replayed", 5),
        ({"step": 5, "mode": "lr"}, "W_T of level 1", "replayed", 5),
        ({"step": 5, "mode": "fine_tune"}, "W_T of level 1", "constant at its last rate", None),
    ],
)
def test_every_way_of_going_back_says_weights_schedule_and_step(rewind, weights, schedule, schedule_step) -> None:
    start = start_document(tiny_lineage(rewind=rewind), 2)
    assert (start["weights"], start["schedule"], start["schedule_step"]) == (weights, schedule, schedule_step)
    assert (start["step"], start["optimizer"]) == (5, "fresh")
    assert start_document(tiny_lineage(rewind=rewind, treatment="random_mask"), 2)["weights"] == "W_5"


def test_controls_say_what_they_start_from() -> None:
    words = {
        "random_reinit": ("drawn afresh by random_reinit", "zero"),
        "noise[sigma=3.0]": ("noise[sigma=3.0] of W_5", "zero"),
        "frozen": ("W_5", "held at W_5"),
        "reordered": ("W_5", "zero"),
    }
    for treatment, expected in words.items():
        start = start_document(tiny_lineage(rewind={"step": 5}, treatment=treatment), 1)
        assert (start["weights"], start["pruned"]) == expected
    assert start_document(tiny_lineage(rewind={"step": 5}, treatment="reordered"), 0)["step"] == 5


def test_a_restored_optimizer_says_from_which_step() -> None:
    lineage = tiny_lineage(rewind={"step": 5, "optimizer": "restore"})
    assert start_document(lineage, 3)["optimizer"] == "restored from step 5"


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "winning"),
        ({"rewind": {"step": 5}}, "matching"),
        ({"rewind": {"mode": "lr"}}, "trained"),
        ({"rewind": {"mode": "fine_tune", "step": 5}}, "trained"),
        ({"method": "gradual"}, "trained"),
        ({"method": "snip"}, "winning"),
        ({"rewind": {"mode": "lr"}, "treatment": "reset"}, "winning"),
        ({"rewind": {"mode": "lr", "step": 5}, "treatment": "reset"}, "matching"),
        ({"rewind": {"mode": "lr"}, "treatment": "identity"}, "trained"),
        ({"treatment": "random_reinit"}, None),
        ({"treatment": "frozen"}, None),
    ],
)
def test_trained_networks_are_never_called_tickets_and_controls_are_called_nothing(options, label) -> None:
    lineage = tiny_lineage(**options)
    assert level_label(lineage, 1) == label
    assert level_label(lineage, 0) is None

"""Movement equals a loop over the weights of each group."""

from __future__ import annotations

import numpy as np
import pytest

from lth_core.analyses.movement import movements, total_movement

RANDOM = np.random.default_rng(8)


def test_groups_and_distances_are_those_of_a_loop() -> None:
    start = {name: RANDOM.normal(size=(5, 9)).astype(np.float32) for name in ("a", "b")}
    final = {name: RANDOM.normal(size=(5, 9)).astype(np.float32) for name in ("a", "b")}
    kept = {name: RANDOM.random((5, 9)) < 0.7 for name in ("a", "b")}
    following = {name: kept[name] & (RANDOM.random((5, 9)) < 0.5) for name in ("a", "b")}
    found = movements(start, final, kept, following)
    moved = {"all": [], "stays": [], "pruned": []}
    began = {"all": [], "stays": [], "pruned": []}
    for name in ("a", "b"):
        for i in range(45):
            if not kept[name].flat[i]:
                continue
            group = "stays" if following[name].flat[i] else "pruned"
            for one in ("all", group):
                moved[one].append(abs(float(final[name].flat[i]) - float(start[name].flat[i])))
                began[one].append(abs(float(start[name].flat[i])))
    total = total_movement(found.values())
    for group in moved:
        assert total[group].n == len(moved[group])
        assert total[group].distance == pytest.approx(sum(moved[group]) / len(moved[group]))
        assert total[group].relative == pytest.approx(sum(moved[group]) / sum(began[group]))
    assert found["a"]["all"].n == found["a"]["stays"].n + found["a"]["pruned"].n


def test_the_last_level_has_no_groups() -> None:
    one = {"w": np.ones(3, np.float32)}
    assert set(movements(one, one, {"w": np.ones(3, np.bool_)}, None)["w"]) == {"all"}


def test_weights_that_started_at_zero_have_no_relative_distance() -> None:
    start, final = {"w": np.zeros(2, np.float32)}, {"w": np.ones(2, np.float32)}
    (groups,) = movements(start, final, {"w": np.ones(2, np.bool_)}, None).values()
    assert (groups["all"].distance, groups["all"].relative) == (1.0, None)

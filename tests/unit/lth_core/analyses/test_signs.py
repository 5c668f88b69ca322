"""Sign counts equal a loop over the survivors."""

from __future__ import annotations

import numpy as np

from lth_core.analyses.signs import sign_counts, total_signs


def test_signs_of_survivors_are_counted_as_a_loop_counts_them() -> None:
    random = np.random.default_rng(5)
    before = {name: random.normal(size=(6, 7)).astype(np.float32) for name in ("a", "b")}
    after = {name: random.normal(size=(6, 7)).astype(np.float32) for name in ("a", "b")}
    before["a"][0, :3], after["a"][0, 1:5] = 0.0, 0.0
    kept = {name: random.random((6, 7)) < 0.5 for name in ("a", "b")}
    kept["a"][0] = True
    found = sign_counts(before, after, kept)
    num_agreeing = num_kept = 0
    for name in ("a", "b"):
        places = [(i, j) for i in range(6) for j in range(7) if kept[name][i, j]]
        sign = [(np.sign(float(before[name][p])), np.sign(float(after[name][p]))) for p in places]
        assert found[name].kept == len(places)
        assert found[name].agreeing == sum(x == y for x, y in sign)
        assert found[name].flipped == sum(x != y for x, y in sign)
        assert found[name].positive_before == sum(x > 0 for x, _ in sign)
        assert found[name].positive_after == sum(y > 0 for _, y in sign)
        num_agreeing, num_kept = num_agreeing + sum(x == y for x, y in sign), num_kept + len(places)
    assert total_signs(found).agreement == num_agreeing / num_kept


def test_pruned_weights_and_other_tensors_are_not_looked_at() -> None:
    before = {"w": np.array([1, 1, -1], np.float32), "bias": np.array([1], np.float32)}
    after = {"w": np.array([1, -1, 0], np.float32), "bias": np.array([-1], np.float32)}
    found = sign_counts(before, after, {"w": np.array([True, False, False])})
    assert list(found) == ["w"]
    assert (found["w"].kept, found["w"].agreement) == (1, 1.0)


def test_a_layer_without_survivors_has_no_agreement() -> None:
    weights = {"w": np.ones(3, np.float32)}
    assert sign_counts(weights, weights, {"w": np.zeros(3, np.bool_)})["w"].agreement is None

"""Every control that starts from weights of its own, recomputed one weight at a time from W_k and the mask."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from lth_core import random
from lth_core.controls import starting_point
from lth_core.pruning import next_mask
from tests.support.tiny import tiny_lineage

LINEAGE = tiny_lineage(prune={"fraction": 0.4})
TENSORS = LINEAGE.tensors()
NAMES = ("fc1.weight", "fc2.weight", "out.weight")
PLACES = {name: 2 * i for i, name in enumerate(NAMES)}
SIGMAS = dict(zip(NAMES, (math.sqrt(2 / 28), math.sqrt(2 / 20), math.sqrt(2 / 11)), strict=True))
GENERATOR = np.random.default_rng(8)
REWIND = {t.name: GENERATOR.normal(0, 1, t.shape).astype(np.float32) for t in TENSORS}
MASK = next_mask(LINEAGE, None, REWIND, rewind=REWIND, level=0)


def weights_of(label: str, level: int = 1, repeat: int = 0, mask=MASK, rewind=REWIND):
    own = LINEAGE.model_copy(update={"treatment": label, "repeat": repeat})
    return starting_point(own, level, mask, rewind).weights


def integers(label: str, name: str, bound: int, level: int) -> list[int]:
    """One integer below `bound` per weight: the first Philox word of (element, level, tensor), scaled down."""
    key = random.seed_key(0, f"{label}:0")
    drawn = random.philox(key, np.arange(REWIND[name].size), level, PLACES[name])[:, 0]
    return [int(word) * bound // 2**32 for word in drawn]


def deviates(label: str, name: str, scale: float, level: int) -> list[float]:
    """Box-Muller in float64 on 53 + 53 bits of each counter."""
    key = random.seed_key(0, f"{label}:0")
    found = []
    for a, b, c, d in random.philox(key, np.arange(REWIND[name].size), level, PLACES[name]).tolist():
        radius, angle = ((a << 21 | b >> 11) + 1) / 2**53, (c << 21 | d >> 11) / 2**53
        found.append(scale * math.sqrt(-2 * math.log(radius)) * math.cos(2 * math.pi * angle))
    return found


@pytest.mark.parametrize("treatment", ["random_reinit", "random_sparse"])
def test_a_fresh_initialisation_follows_the_initial_law_at_every_level_anew(treatment):
    for level in (1, 2):
        found = weights_of(treatment, level)
        for name in NAMES:
            expected = deviates(treatment, name, SIGMAS[name], level)
            assert np.allclose(found[name].ravel(), expected, rtol=1e-6, atol=1e-7)
        assert not any(found[f"{layer}.bias"].any() for layer in ("fc1", "fc2", "out"))


@pytest.mark.parametrize("level", [1, 3])
def test_reuse_draws_each_layer_with_replacement_from_its_kept_weights(level):
    found = weights_of("reuse", level)
    for name in NAMES:
        pool = [w for w, kept in zip(REWIND[name].ravel(), MASK[name].ravel(), strict=True) if kept]
        assert found[name].ravel().tolist() == [pool[k] for k in integers("reuse", name, len(pool), level)]
        assert len(set(found[name].ravel().tolist())) < len(pool)


def test_reuse_sign_draws_each_weight_from_the_kept_ones_of_its_sign():
    found = weights_of("reuse_sign", 2)
    for name in NAMES:
        flat = REWIND[name].ravel()
        pool = [w for w, kept in zip(flat, MASK[name].ravel(), strict=True) if kept]
        above, below = [w for w in pool if w > 0], [w for w in pool if w <= 0]
        from_above = integers("reuse_sign", name, len(above), 2)
        from_below = integers("reuse_sign", name, len(below), 2)
        expected = [above[from_above[k]] if w > 0 else below[from_below[k]] for k, w in enumerate(flat)]
        assert found[name].ravel().tolist() == expected
        assert np.array_equal(np.sign(found[name]), np.sign(REWIND[name]))


def test_a_pool_that_is_empty_leaves_its_weights_where_they_are():
    none = {name: np.zeros_like(kept) for name, kept in MASK.items()}
    for label in ("reuse", "reuse_sign"):
        assert all(np.array_equal(weights_of(label, mask=none)[name], REWIND[name]) for name in NAMES)
    only_positive = {name: REWIND[name] > 0 for name in NAMES}
    found = weights_of("reuse_sign", mask=only_positive)
    for name in NAMES:
        assert np.array_equal(found[name][REWIND[name] <= 0], REWIND[name][REWIND[name] <= 0])


@pytest.mark.parametrize("rescaled", [False, True])
def test_signed_constants_have_the_layers_standard_deviation(rescaled):
    found = weights_of("signed_constant[rescaled]" if rescaled else "signed_constant")
    for name in NAMES:
        constant = statistics.pstdev(REWIND[name].ravel().tolist())
        if rescaled:
            constant *= REWIND[name].size / int(MASK[name].sum())
        expected = [math.copysign(constant, w) for w in REWIND[name].ravel().tolist()]
        assert np.allclose(found[name].ravel(), expected, rtol=1e-6, atol=0)
        assert len(set(np.abs(found[name]).ravel().tolist())) == 1


def test_a_weight_of_zero_has_no_sign_and_a_layer_that_keeps_nothing_no_rescaling():
    rewind = {**REWIND, "out.weight": np.zeros((3, 8), dtype=np.float32)}
    assert not weights_of("signed_constant", rewind=rewind)["out.weight"].any()
    none = {**MASK, "out.weight": np.zeros((3, 8), dtype=np.bool_)}
    assert np.isfinite(weights_of("signed_constant[rescaled]", mask=none)["out.weight"]).all()


@pytest.mark.parametrize(("label", "sigma"), [("noise", 1.0), ("noise[sigma=3.0]", 3.0), ("noise[sigma=0.5]", 0.5)])
def test_noise_is_added_in_multiples_of_the_layers_initial_deviation(label, sigma):
    for level in (1, 2):
        found = weights_of(label, level)
        for name in NAMES:
            added = deviates(label, name, sigma * SIGMAS[name], level)
            assert np.allclose(found[name].ravel(), REWIND[name].ravel() + added, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("label", ["reuse", "reuse_sign", "signed_constant", "noise"])
def test_biases_stay_where_the_ticket_has_them(label):
    found = weights_of(label)
    for layer in ("fc1", "fc2", "out"):
        assert np.array_equal(found[f"{layer}.bias"], REWIND[f"{layer}.bias"])

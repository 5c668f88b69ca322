"""Dropout by counters: the promised elements, at the promised rate, the same after a resume and on other devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lth_core import random
from lth_core.dropout import CounterDropout, words

KEY = random.seed_key(3, "dropout")


def dropped(p: float, step: int, shape: tuple[int, ...] = (50, 41), layer: int = 2) -> np.ndarray:
    module = CounterDropout(p, KEY, layer)
    module.step = step
    return (module(torch.ones(shape)) == 0).numpy()


def test_element_e_is_word_e_mod_4_of_counter_e_div_4_below_p():
    module = CounterDropout(0.3, KEY, layer=2)
    module.step = 7
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 3, 7)).astype(np.float32))
    counters = random.philox(KEY, np.arange(27), step=7, tensor=2)
    drawn = [int(counters[element // 4, element % 4]) for element in range(5 * 3 * 7)]
    kept = np.array([word / 2**32 >= 0.3 for word in drawn]).reshape(5, 3, 7)
    expected = np.where(kept, x.numpy() / 0.7, 0)
    assert np.allclose(module(x).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_falls_out_is_p_and_the_mean_is_kept(p):
    module = CounterDropout(p, KEY, 0)
    means = []
    for step in range(20):
        module.step = step
        means.append(float(module(torch.ones(100, 100)).mean()))
    sigma = np.sqrt(p / (1 - p) / (20 * 100 * 100))
    assert abs(np.mean(means) - 1) < 4 * sigma


def test_a_mask_depends_on_key_step_and_layer_and_on_nothing_before_it():
    first = dropped(0.5, 11)
    module = CounterDropout(0.5, KEY, 2)
    for step in (3, 11):  # a module that has lived, and one that resumes at step 11
        module.step = step
        resumed = (module(torch.ones(50, 41)) == 0).numpy()
    assert np.array_equal(resumed, first)
    others = [dropped(0.5, 12), dropped(0.5, 11, layer=3)]
    assert all(0.4 < (other != first).mean() < 0.6 for other in others)


def test_it_is_the_identity_in_eval_mode_and_for_a_share_of_0():
    x = torch.randn(4, 5)
    assert CounterDropout(0.5, KEY, 0).eval()(x) is x
    assert CounterDropout(0.0, KEY, 0)(x) is x


def test_gradients_pass_where_the_unit_stays():
    module = CounterDropout(0.5, KEY, 0)
    x = torch.ones(9, 9, requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert set(y.detach().unique().tolist()) == {0.0, 2.0}


def test_it_adds_nothing_to_a_state_dict():
    assert not CounterDropout(0.5, KEY, 0).state_dict()


def test_integers_of_any_device_are_those_of_numpy():
    for key, num, step, layer in ((KEY, 1000, 5, 2), (2**64 - 1, 3, 2**32 - 1, 2**32 - 1), (0, 1, 0, 0)):
        ours = words(key, num, step, layer, torch.device("cpu")).numpy()
        assert np.array_equal(ours, random.words(key, num, step=step, tensor=layer))
    assert [f"{word:08x}" for word in words(0, 1, 0, 0, torch.device("cpu"))[0]] == [
        "6627e8d5",
        "e169c58d",
        "bc57ac4c",
        "9b00dbd8",
    ]


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_a_share_outside_0_to_1_is_refused(p):
    with pytest.raises(ValueError, match="p must be >= 0 and < 1"):
        CounterDropout(p, KEY, 0)

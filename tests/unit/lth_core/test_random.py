"""Counters instead of generators: the known answers, and what follows from having no state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth_core import random

WORD = st.integers(0, 2**32 - 1)


def reference(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox4x32-10 as the paper writes it, in Python integers."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_reference_gives_the_published_answers(counter, key, answer):
    assert " ".join(f"{word:08x}" for word in reference(counter, key)) == answer


def test_counter_zero_and_key_zero_give_the_known_answer():
    assert [f"{word:08x}" for word in random.philox(0, np.arange(1))[0]] == [
        "6627e8d5",
        "e169c58d",
        "bc57ac4c",
        "9b00dbd8",
    ]


@given(WORD, WORD, WORD, st.integers(0, 2**64 - 1))
def test_the_vectorised_form_equals_the_reference(element, step, tensor, key):
    drawn = random.philox(key, np.array([element, 0]), step, tensor)
    assert drawn[0].tolist() == reference((element, step, tensor, 0), (key & 0xFFFFFFFF, key >> 32))


def test_counters_that_do_not_fit_into_32_bits_are_refused():
    for step, tensor, element in ((2**32, 0, 0), (0, -1, 0), (0, 0, 2**32)):
        with pytest.raises(ValueError, match="2\\*\\*32"):
            random.philox(0, np.array([element]), step, tensor)


def test_a_draw_depends_on_its_element_and_not_on_how_many_are_drawn():
    num = 3 * random._CHUNK // 2
    many = random.words(5, num, step=2, tensor=3)
    few = random.words(5, 11, step=2, tensor=3)
    assert np.array_equal(many[:11], few)
    border = np.arange(random._CHUNK - 2, random._CHUNK + 2)
    assert np.array_equal(many[border], random.philox(5, border, 2, 3))


def test_seeds_differ_by_replicate_and_by_purpose():
    seeds = {random.seed_key(r, p) for r in range(20) for p in ("init", "split", "order", "random_reinit:0")}
    assert len(seeds) == 80
    assert random.seed_key(0, "init") == 0x8FB93DBF9240B8F8  # frozen: another value would change every stored result


@given(st.integers(0, 300), st.integers(0, 2**64 - 1))
def test_a_permutation_holds_every_index_once(num, key):
    assert sorted(random.permutation(key, num).tolist()) == list(range(num))


def test_permutations_of_steps_and_tensors_differ():
    orders = {tuple(random.permutation(1, 50, step=s, tensor=t)) for s in range(4) for t in range(4)}
    assert len(orders) == 16


@given(st.integers(1, 2**32), st.integers(0, 2**64 - 1))
def test_integers_lie_below_their_bound(bound, key):
    drawn = random.randint(key, 50, bound)
    assert 0 <= drawn.min() <= drawn.max() < bound


def test_integers_are_the_first_word_times_the_bound_shifted_down():
    assert random.randint(0, 1, 10)[0] == (0x6627E8D5 * 10) >> 32
    with pytest.raises(ValueError, match="bound"):
        random.randint(0, 1, 0)


def test_uniform_numbers_are_the_middles_of_cells_of_the_first_word():
    drawn = random.uniforms(7, 1000, step=3, tensor=2)
    first = random.words(7, 1000, step=3, tensor=2)[:, 0]
    assert drawn.dtype == np.float32
    assert drawn.tolist() == [((int(word) // 512) + 0.5) / 2**23 for word in first]
    assert 0 < drawn.min() < 0.01 < 0.99 < drawn.max() < 1


def test_normals_have_the_moments_of_a_normal_distribution():
    z = random.normals(random.seed_key(0, "init"), 200_000).astype(np.float64)
    assert z.dtype == np.float64
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs((z**3).mean()) < 0.03
    assert abs((z**4).mean() - 3) < 0.1


def test_normals_are_scaled_before_they_are_rounded():
    z = random.normals(3, 1000, scale=0.1)
    assert z.dtype == np.float32
    assert np.allclose(z, 0.1 * random.normals(3, 1000), rtol=1e-6)
    assert np.isfinite(z).all()

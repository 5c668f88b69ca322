"""Counted operations and bytes against a count by hand, and against the known sizes of the networks."""

from __future__ import annotations

import pytest

from benchmarks.engine.roofline import Count, Peaks, count_step, measure_peaks, uses_per_example
from lth_core.architecture import architecture
from lth_core.model_spec import ModelSpec

ADAM = {"optimizer": "adam", "momentum": 0.0}


def test_two_small_layers_count_as_by_hand():
    count = count_step([(6, 1), (4, 1)], inputs=3, batch_size=5, num_biases=4, train={**ADAM, "optimizer": "sgd"})
    assert count.flop == 2 * 5 * 6 * 2 + 2 * 5 * 4 * 3 + 2 * 14
    assert count.bytes == 4 * (5 * 3 + 10 * (2 + 2) + 4 * 2)


def test_lenet_has_the_operations_its_sizes_say():
    layers = [(784 * 300, 1), (300 * 100, 1), (100 * 10, 1)]
    count = count_step(layers, 784, 60, 410, ADAM)
    products = 2 * 60 * (2 * 235_200 + 3 * 31_000)
    assert count.flop == products + 14 * 266_610
    assert products == pytest.approx(0.068e9, rel=0.01)


def test_adam_moves_its_moments_too():
    plain, adam = (count_step([(100, 1)], 1, 1, 0, {"optimizer": o, "momentum": 0.0}) for o in ("sgd", "adam"))
    assert adam.bytes - plain.bytes == 4 * 100 * 4


def test_dense_products_with_state_at_survivors_move_moments_of_survivors_only():
    all_of_it, survivors = (count_step([(100, 1)], 1, 1, 0, ADAM, num_updated=num) for num in (None, 20))
    assert all_of_it.bytes - survivors.bytes == 4 * 80 * 6
    assert all_of_it.flop - survivors.flop == 80 * 14


def test_a_convolutions_weights_are_used_at_every_position():
    tensors = architecture(ModelSpec(name="conv_4"), (3, 32, 32), 10)
    layers = [(tensor.name, tensor.shape, tensor.kind) for tensor in tensors]
    uses = uses_per_example(layers, (3, 32, 32))
    assert [uses[f"conv{i}.weight"] for i in range(1, 5)] == [1024, 1024, 256, 256]
    assert uses["fc1.weight"] == uses["out.weight"] == 1
    macs = sum(tensor.size * uses[tensor.name] for tensor in tensors if tensor.prunable)
    assert macs == pytest.approx(98.3e6, rel=0.01)


def test_the_floor_is_the_slower_of_arithmetic_and_memory():
    peaks = Peaks(flop_per_s=100.0, bytes_per_s=10.0)
    assert Count(200.0, 10.0).floor_s(peaks) == 2.0
    assert Count(200.0, 50.0).floor_s(peaks) == 5.0


def test_peaks_are_measured():
    peaks = measure_peaks("cpu", size=64, num_bytes=1 << 16, repeats=2)
    assert peaks.flop_per_s > 0
    assert peaks.bytes_per_s > 0

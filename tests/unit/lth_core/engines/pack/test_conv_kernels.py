"""Every kernel of a convolution or a pool is its form in plain torch, and compiles for the GPUs it is written for."""

from __future__ import annotations

import pytest

from tests.support import triton_children

CHILD = "tests.unit.lth_core.engines.pack.conv_kernel_child"


@pytest.mark.timeout(900)
def test_interpreted_kernels_of_convolutions_agree_with_plain_torch_and_leave_other_slots_alone():
    answers = triton_children.run(CHILD, "interpret", TRITON_INTERPRET="1")
    assert [answer["splits"] for answer in answers] == [1, 1, 1, 2]
    for answer in answers:
        errors = answer["errors"]
        assert errors.pop("pool") == errors.pop("unpool") == 0, answer
        assert max(errors.values()) < 2e-6, answer
        assert answer["inactive untouched"], answer
        assert answer["sick has nan"], answer
        assert answer["same nan"], answer
        assert answer["same beside nan"] < 2e-6, answer


@pytest.mark.timeout(900)
def test_kernels_of_convolutions_compile_for_compute_capability_9_without_a_gpu(tmp_path):
    names = triton_children.run(CHILD, "compile", TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")
    assert {name: names.count(name) for name in names} == {
        "conv_forward_kernel": 2,
        "conv_backward_kernel": 2,
        "conv_gradient_kernel": 2,
        "pool_kernel": 2,
        "unpool_kernel": 2,
    }

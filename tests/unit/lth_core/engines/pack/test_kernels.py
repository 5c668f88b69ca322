"""Every Triton kernel is the function of its name in plain torch, and compiles for the GPUs it is written for."""

from __future__ import annotations

import pytest

from tests.support import triton_children

CHILD = "tests.unit.lth_core.engines.pack.kernel_child"


@pytest.mark.timeout(900)
def test_interpreted_kernels_agree_with_plain_torch_and_leave_other_slots_alone():
    answers = triton_children.run(CHILD, "interpret", TRITON_INTERPRET="1")
    assert len(answers) == 6
    for answer in answers:
        errors = answer["errors"]
        assert errors.pop("before") == 0
        assert errors.pop("correct") == errors.pop("right") == 0, answer
        assert errors.pop("scores") < 1e-4, answer
        assert max(errors.values()) < 1e-6, answer
        assert answer["moved"] > 1e-3, answer
        assert answer["inactive moved"] == 0, answer
        assert answer["sick is nan"], answer
        assert answer["well are finite"], answer


def test_gradients_that_were_summed_in_parts_update_as_their_sum_does():
    answer = triton_children.run(CHILD, "sums", TRITON_INTERPRET="1")
    assert answer["error"] < 1e-6
    assert answer["nan elsewhere"] == 0


@pytest.mark.timeout(900)
def test_kernels_compile_for_compute_capability_9_without_a_gpu(tmp_path):
    names = triton_children.run(CHILD, "compile", TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")
    assert {name: names.count(name) for name in names} == {
        "forward_kernel": 3,
        "loss_kernel": 4,
        "backward_kernel": 4,
        "update_kernel": 5,
        "update_by_sums_kernel": 2,
    }

"""The environment, and the switches that make it deterministic."""

from __future__ import annotations

import torch

from lth_core.canonical import canonical_json
from lth_core.determinism import pin
from lth_core.fingerprint import fingerprint


def test_a_fingerprint_names_what_bits_depend_on():
    pin(1)
    found = fingerprint("cpu", {"MKL_CBWR": "COMPATIBLE", "HOME": "/secret"})
    assert found["threads"] == 1
    assert found["deterministic"] is True
    assert found["switches"] == {"MKL_CBWR": "COMPATIBLE"}
    assert {"python", "torch", "numpy", "isa", "device", "engine", "numerics"} <= set(found)
    canonical_json(found)


def test_threads_change_the_fingerprint():
    prints = []
    for threads in (1, 2):
        pin(threads)
        prints.append(canonical_json(fingerprint("cpu", {})))
    pin(1)
    assert prints[0] != prints[1]


def test_pinning_turns_unknown_arithmetic_into_errors():
    torch.set_deterministic_debug_mode("default")
    pin(1)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.backends.cudnn.benchmark is False

"""Committed levels follow from each other, or are not taken for a chain."""

from __future__ import annotations

from typing import Any

import pytest

from lth_core.expansion import PlannedLineage
from lth_core.manifest import core_digest
from tests.support.tiny import tiny_lineage
from workers.chains import BrokenChain, committed, parent_of

KEY, DENSE = "aa" * 32, "dd" * 32
PLAN = PlannedLineage(tiny_lineage(), KEY, DENSE, 0, {}, None)
CONTROL = PlannedLineage(tiny_lineage(treatment="random_reinit"), KEY, DENSE, 0, {}, "bb" * 32)


def manifest(level: int, parent: str | None) -> dict[str, Any]:
    """A level that names a parent."""
    core = {"level": level, "parent": parent}
    return {"core": core, "core_sha256": core_digest(core)}


def chain(num: int) -> dict[str, dict[int, dict[str, Any]]]:
    """Levels 0 to num - 1."""
    found: dict[str, dict[int, dict[str, Any]]] = {DENSE: {0: manifest(0, None)}, KEY: {}}
    before = found[DENSE][0]
    for level in range(1, num):
        before = found[KEY][level] = manifest(level, before["core_sha256"])
    return found


def test_a_chain_ends_before_its_first_gap() -> None:
    manifests = chain(4)
    assert [one["core"]["level"] for one in committed(PLAN, manifests)] == [0, 1, 2, 3]
    del manifests[KEY][2]
    assert [one["core"]["level"] for one in committed(PLAN, manifests)] == [0, 1]


def test_a_control_begins_at_level_one_with_the_dense_network_as_its_parent() -> None:
    manifests = chain(3)
    assert [one["core"]["level"] for one in committed(CONTROL, manifests)] == [1, 2]
    assert parent_of(CONTROL, 1, manifests) == manifests[DENSE][0]["core_sha256"]


def test_a_level_that_names_another_parent_breaks_the_chain() -> None:
    manifests = chain(3)
    manifests[KEY][2] = manifest(2, "00" * 32)
    with pytest.raises(BrokenChain, match="level 2"):
        committed(PLAN, manifests)


def test_a_core_that_does_not_have_its_digest_breaks_the_chain() -> None:
    manifests = chain(2)
    manifests[KEY][1]["core_sha256"] = "00" * 32
    with pytest.raises(BrokenChain, match="digest"):
        committed(PLAN, manifests)


def test_a_control_with_a_level_0_of_its_own_follows_the_dense_network_and_then_itself() -> None:
    own = PlannedLineage(tiny_lineage(treatment="reordered"), "cc" * 32, DENSE, 0, {}, KEY)
    dense = manifest(0, None)
    first = manifest(0, dense["core_sha256"])
    second = manifest(1, first["core_sha256"])
    manifests = {DENSE: {0: dense}, own.key: {0: first, 1: second}}
    assert [one["core"]["level"] for one in committed(own, manifests)] == [0, 1]
    assert parent_of(own, 0, manifests) == dense["core_sha256"]
    assert parent_of(own, 1, manifests) == first["core_sha256"]
    with pytest.raises(BrokenChain, match="stands without level 0"):
        parent_of(own, 0, {DENSE: {}})

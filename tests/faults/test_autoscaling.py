"""A cluster that begins without workers: it grows to what the queue needs, slots are shared, and it goes again."""

from __future__ import annotations

import json

import pytest

from benchmarks.scale.autoscaling import measure


@pytest.mark.chaos
@pytest.mark.timeout(700)
def test_a_cluster_grows_from_nothing_shares_its_slots_by_priority_and_shrinks_to_nothing() -> None:
    found = measure()
    assert all(found["gates"].values()), json.dumps({**found, "time_line": found["time_line"][::10]})

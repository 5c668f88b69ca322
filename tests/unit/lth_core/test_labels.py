"""What a search's output may be called."""

from __future__ import annotations

import pytest

from lth_core.labels import label_of
from lth_core.parts import Rewind
from tests.support.tiny import tiny_lineage


@pytest.mark.parametrize(
    ("method", "rewind", "label"),
    [
        ("imp", {}, "winning"),
        ("imp", {"step": 7}, "matching"),
        ("imp", {"step": 7, "optimizer": "restore"}, "matching"),
        ("imp", {"mode": "lr"}, "trained"),
        ("imp", {"mode": "fine_tune", "step": 7}, "trained"),
        ("one_shot", {}, "winning"),
        ("snip", {}, "winning"),
        ("snip", {"step": 7}, "matching"),
        ("gradual", {}, "trained"),
        ("gradual", {"step": 7}, "trained"),
    ],
)
def test_only_what_starts_again_from_recorded_weights_may_be_called_a_ticket(method, rewind, label):
    lineage = tiny_lineage(method=method).model_copy(update={"rewind": Rewind(**rewind)})
    assert label_of(lineage) == label

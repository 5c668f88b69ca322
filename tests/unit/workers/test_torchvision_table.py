"""The table of torchvision's tensors is that of the installed torchvision; the generator's `--check` compares all."""

from __future__ import annotations

import pytest

from lth_core.architectures.torchvision_table import table
from workers.torchvision_table import PLACE, entry

MAX_BYTES = 300_000


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_1", "alexnet", "vit_b_32", "shufflenet_v2_x0_5"])
def test_the_table_is_what_the_installed_torchvision_builds(arch: str) -> None:
    assert table()["models"][arch] == entry(arch)


def test_the_table_is_small_enough_to_ship() -> None:
    assert PLACE.stat().st_size < MAX_BYTES

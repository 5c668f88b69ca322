"""The table of torchvision's tensors is that of the installed torchvision; the generator's `--check` compares all."""

from __future__ import annotations

import pytest

from lth_core.architectures.torchvision_table import table
from workers.torchvision_table import PLACE, entry, main

MAX_BYTES = 300_000


@pytest.mark.parametrize("arch", ["resnet18", "alexnet", "vit_b_32", "shufflenet_v2_x0_5"])
def test_the_table_is_what_the_installed_torchvision_builds(arch: str) -> None:
    assert table()["models"][arch] == entry(arch)


def test_the_table_is_small_enough_to_ship() -> None:
    assert PLACE.stat().st_size < MAX_BYTES


def test_the_check_names_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "squeezenet1_1"]) == 0
    assert main(["--check", "squeezenet1_1", "resnet19"]) == 1
    assert capsys.readouterr().out.splitlines() == ["1 models; differing: none", "2 models; differing: resnet19"]

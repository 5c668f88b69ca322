"""A tiny work folder for contestants, prepared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engine.data import made_up
from benchmarks.engine.prepare import make_work
from benchmarks.engine.work import Work

Make = Callable[..., Work]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Prepares work of two replicates, batch 6 and three levels, masks after three steps a level."""

    def prepared(preset: str, in_shape: tuple[int, ...], **changes: Any) -> Work:
        arrays = made_up(in_shape, 120, 30)
        source = {"name": "made-up", "synthetic": True}
        options: dict[str, Any] = {"levels": (0, 1, 2), "mask_steps": 3, "num_replicates": 2, **changes}
        folder = tmp_path_factory.mktemp("work")
        return make_work(folder, preset, arrays, source, batch_size=6, eval_every=5, **options)

    return prepared


@pytest.fixture(scope="session")
def lenet(make: Make) -> Work:
    """LeNet-300-100 on made-up pictures of MNIST's size."""
    return make("lenet-mnist", (1, 28, 28))


@pytest.fixture(scope="session")
def conv(make: Make) -> Work:
    """Conv-2 on pictures of 8x8."""
    return make("conv2-cifar10", (3, 8, 8))


@pytest.fixture(scope="session")
def residual(make: Make) -> Work:
    """A narrow ResNet-20 on pictures of 8x8."""
    changes = {"flip": False, "crop_padding": 0, "test_curve": False}
    return make("resnet20-cifar10-low", (3, 8, 8), model={"name": "resnet_20", "width": 2}, **changes)


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a contestant's program whose behaviour is given as the body of its methods."""

    def write(body: str) -> Path:
        path = tmp_path / "scripted.py"
        path.write_text(body)
        return path

    return write

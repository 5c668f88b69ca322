"""One running service for the tests that go in by HTTP and come out with tickets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.stack import Stack, running_stack

SMALL: dict[str, Any] = {
    "model": {"name": "lenet_300_100"},
    "dataset": {"name": "digits"},
    "train": {"steps": 60, "eval_every": 20},
    "prune": {"levels": 3},
    "replicates": 2,
    "treatments": ["random_reinit", "shuffled_mask"],
}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running service with embedded defaults."""
    with running_stack(tmp_path_factory.mktemp("service") / "home") as stack:
        yield stack


@pytest.fixture(scope="session")
def finished(stack: Stack) -> dict[str, Any]:
    """A small finished search with two replicates and two controls."""
    return stack.wait(stack.submit({"spec": SMALL}, key="finished"))

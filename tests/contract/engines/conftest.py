"""Every test of this folder runs with every engine."""

from __future__ import annotations

import os

import pytest

from tests.contract.engines.engines import ENGINES, EngineUnderTest


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> EngineUnderTest:
    """An engine; one that cannot run here skips, and fails under CI."""
    found: EngineUnderTest = request.param
    if not found.runs_here:
        reason = f"engine {found.name}: its native kernels were not built, or this processor lacks their instructions"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found

"""Fixtures of the store contract."""

import pytest

from tests.support.processes import free_port


@pytest.fixture
def unused_endpoint() -> str:
    """An endpoint at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}"

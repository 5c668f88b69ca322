"""Skipping with a reason on a laptop, failing under CI: one rule for everything a test needs from outside."""

from __future__ import annotations

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the running test unless the condition holds; with `CI=true` in the environment, fail it."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)

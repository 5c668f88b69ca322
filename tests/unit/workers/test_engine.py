"""What Ray makes of the engine's class."""

from __future__ import annotations

import inspect

from workers.engine import EngineProcess


def test_no_coroutine_is_among_the_methods_of_an_engine_so_that_ray_gives_every_level_a_thread() -> None:
    assert not inspect.getmembers(EngineProcess, inspect.iscoroutinefunction)
    assert not inspect.getmembers(EngineProcess, inspect.isasyncgenfunction)

"""A driver is ready before there is a search, is given once, and one that died while it waited is never given."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.children import Child, module, spawn
from workers.spare import Spare

WRITES_ITS_WORD = "import sys; open(sys.argv[1], 'a').write(input() + '\\n'); input()"


class Drivers:
    """Children that write down the word they were told, and the spare that keeps one of them."""

    def __init__(self, folder: Path) -> None:
        self.started: list[Child] = []
        self.words = folder / "words"
        self.spare = Spare(self._spawn)

    def _spawn(self) -> Child:
        argv = [sys.executable, "-c", WRITES_ITS_WORD, str(self.words)]
        self.started.append(spawn("driver", argv, dict(os.environ), self.words.with_suffix(".log")))
        return self.started[-1]

    def heard(self, num: int) -> list[str]:
        """Wait until so many words were heard; return them."""
        deadline = time.monotonic() + 20
        while len(found := self.words.read_text().split() if self.words.exists() else []) < num:
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        return found


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    found = Drivers(tmp_path)
    yield found
    for child in found.started:
        child.kill()


def test_the_one_that_waits_is_told_the_search_and_the_next_is_kept(drivers: Drivers) -> None:
    drivers.spare.keep()
    drivers.spare.keep()
    assert len(drivers.started) == 1
    assert drivers.spare.give("local/a") is drivers.started[0]
    assert drivers.heard(1) == ["local/a"]
    drivers.spare.keep()
    assert drivers.spare.give("local/b") is drivers.started[1]
    assert drivers.heard(2) == ["local/a", "local/b"]


def test_without_one_that_waits_a_fresh_one_is_told_at_once(drivers: Drivers) -> None:
    assert drivers.spare.give("local/a") is drivers.started[0]
    assert drivers.heard(1) == ["local/a"]


def test_one_that_died_while_it_waited_is_replaced_and_its_successor_waits_a_moment(drivers: Drivers) -> None:
    drivers.spare.keep()
    drivers.started[0].process.kill()
    drivers.started[0].process.wait()
    assert drivers.spare.give("local/a") is drivers.started[1]
    drivers.spare.keep()
    assert len(drivers.started) == 2
    assert drivers.heard(1) == ["local/a"]


def test_its_life_counts_from_the_search_not_from_the_wait(drivers: Drivers) -> None:
    drivers.spare.keep()
    drivers.started[0].started_at_s -= 3600
    assert time.monotonic() - drivers.spare.give("local/a").started_at_s < 60


def test_a_killed_spare_is_gone_and_another_may_be_kept(drivers: Drivers) -> None:
    drivers.spare.keep()
    drivers.spare.kill()
    assert drivers.started[0].exit_code is not None
    drivers.spare.keep()
    assert len(drivers.started) == 2


def test_a_driver_that_nobody_will_name_a_search_to_ends(tmp_path: Path) -> None:
    done = subprocess.run(module("workers.driver"), stdin=subprocess.DEVNULL, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 0

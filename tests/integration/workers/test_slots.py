"""An engine with several slots trains several levels at once, and their bits are those of one slot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.faults.conftest import computed_alone
from tests.support.stack import Stack, running_stack

SLOTS = 4


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service with a single engine of several slots."""
    with running_stack(tmp_path_factory.mktemp("slots") / "home", num_cpus="1", engine_slots=str(SLOTS)) as stack:
        yield stack


def manifests(stack: Stack) -> list[Path]:
    """List the files of all committed levels."""
    return stack.objects("lineages/*/*/L*.json")


def intervals(files: Iterable[Path]) -> list[tuple[float, float]]:
    """Read from when to when every level was in its engine, or on its way from there into the record."""
    found = []
    for path in files:
        manifest = json.loads(path.read_bytes())
        began_s, ended_s = (
            datetime.fromisoformat(manifest[name]).timestamp() for name in ("started_at", "committed_at")
        )
        found.append((began_s, ended_s))
    return found


def most_at_once(found: list[tuple[float, float]]) -> int:
    """Return the largest number of intervals that share a moment."""
    return max(sum(began_s <= moment_s < ended_s for began_s, ended_s in found) for moment_s, _ in found)


def test_one_engine_trains_several_levels_at_once_to_the_bits_of_one(stack: Stack, tmp_path: Path) -> None:
    body = {
        "spec": {
            "model": {"name": "mlp", "sizes": [64, 48, 10]},
            "dataset": {"name": "digits"},
            "train": {"steps": 40_000, "eval_every": 2000},
            "prune": {"levels": 1, "fraction": 0.4},
            "replicates": list(range(SLOTS)),
            "treatments": [],
        },
    }
    with computed_alone(body, tmp_path) as alone:
        search = stack.submit(body)
        document = stack.wait(search)
        assert document["status"] == "succeeded", document
        # of two that follow each other the second begins before the first is committed: that makes two, never three
        assert most_at_once(intervals(manifests(stack))) >= 3
        assert stack.masks(search) == alone()

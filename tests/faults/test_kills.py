"""SIGKILL of any one process in the middle of a search: it ends all the same, with the undisturbed masks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.faults.conftest import SEEDS, Masks, search_of
from tests.support.stack import Stack


def kill_one(stack: Stack, *words: str) -> None:
    """SIGKILL the process of the service whose command line holds the words; of drivers the youngest only waits."""
    deadline = time.monotonic() + 30
    while not (found := stack.processes(*words)):
        assert time.monotonic() < deadline, f"no process with {words}"
        time.sleep(0.05)
    oldest = min(found, key=lambda process: process.create_time())
    oldest.kill()
    psutil.wait_procs([oldest], timeout=10)


CASES: dict[str, Callable[[Stack], None]] = {
    "engine": lambda stack: kill_one(stack, "ray::", "Engine"),
    "engine_host": lambda stack: kill_one(stack, "-m workers.engine_host"),
    "driver": lambda stack: kill_one(stack, "-m workers.driver"),
    "dispatcher": lambda stack: kill_one(stack, "-m workers.dispatcher"),
    "api": lambda stack: kill_one(stack, "-m service.api.server"),
    "valkey": lambda stack: kill_one(stack, "valkey-server"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_search_survives_the_sigkill_of(case: str, stack: Stack, undisturbed: Callable[[], Masks]) -> None:
    search = stack.submit(search_of(SEEDS[case]), key=f"kill-{case}")
    before = stack.until(search, lambda doc: doc["progress"]["levels_done"] >= 3 and doc["status"] != "provisioning")
    assert before["status"] == "running", f"the search was too quick to be disturbed: {before['status']}"

    children = below_dispatcher(stack)
    CASES[case](stack)
    if case == "dispatcher":
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]

    after = stack.wait(search)
    assert after["status"] == "succeeded", json.dumps(after)[:2000]
    masks = stack.masks(search)
    assert masks == {name: digest for name, digest in undisturbed().items() if name[1] in SEEDS[case]}
    assert after["progress"]["levels_done"] == after["progress"]["levels_total"] == len(masks)
    assert_written_once(stack, search)


def below_dispatcher(stack: Stack) -> list[psutil.Process]:
    """Return all processes that the dispatcher has started."""
    return [child for one in stack.processes("-m workers.dispatcher") for child in one.children(recursive=True)]


def assert_written_once(stack: Stack, search: str) -> None:
    """One terminal record, one manifest per level, and no level announced with two digests."""
    folder = stack.home / "objects" / "searches" / "local" / search
    records = [json.loads(path.read_text()) for path in sorted((folder / "log").iterdir())]
    numbers = [record["n"] for record in records]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert sum(record["type"] == "terminal" for record in records) == 1
    digests: dict[str, set[str]] = {}
    for event in committed_events(stack, search):
        digests.setdefault(event["event_id"], set()).add(event["data"]["mask_sha256"])
    assert all(len(found) == 1 for found in digests.values())


def committed_events(stack: Stack, search: str) -> list[dict[str, Any]]:
    """Return the events that announce committed levels."""
    return [event for event in stack.pages(f"/v1/searches/{search}/events") if event["type"] == "level.committed"]

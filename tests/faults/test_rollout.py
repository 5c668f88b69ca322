"""Every part of the service is replaced while clients post and poll and searches run: nothing is lost."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.conftest import computed_alone
from tests.faults.test_nodes import NUM_LEVELS, search_of
from tests.support.deployment import Deployment, unforeseen_at
from tests.support.invariants import (
    assert_answers_are_documented,
    assert_each_search_ended_once,
    assert_no_level_twice,
    assert_tickets_verify,
    starts_by_node,
)

POST_EVERY_S = 20.0
POLL_EVERY_S = 0.25
LOOK_S = 3.0
"""How long two dispatchers stand side by side before the old one goes."""
TAKE_OVER_S = 30.0
HOST_S = 60.0


class Client(threading.Thread):
    """Posts small searches, each one twice under its key, and polls all of them, until it is told to stop."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(name="client")
        self._deployment = deployment
        self._stopped = threading.Event()
        self.searches: list[str] = []
        self.error: BaseException | None = None

    def end(self) -> None:
        """End, if it runs."""
        self._stopped.set()
        if self.is_alive():
            self.join()

    def stop(self) -> None:
        """End, and pass on what went wrong."""
        self.end()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Post and poll."""
        try:
            for number in itertools.count(100):
                self.searches.append(self._deployment.submit(small(number), key=f"small-{number}"))
                posted_s = time.monotonic()
                while time.monotonic() < posted_s + POST_EVERY_S:
                    if self._stopped.wait(POLL_EVERY_S):
                        return
                    for search in self.searches:
                        self._deployment.request("GET", f"/v1/searches/{search}")
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self.error = error


def small(replicate: int) -> dict[str, Any]:
    """A search of two lineages."""
    body = search_of([replicate], steps=3000)
    body["spec"] |= {"prune": {"levels": 1, "fraction": 0.4}, "treatments": ["random_reinit"]}
    return body


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Client]:
    """A client that works beside the test."""
    client = Client(deployment)
    yield client
    client.end()


def test_every_part_is_replaced_under_running_searches_and_nothing_is_lost(
    deployment: Deployment, client: Client, tmp_path: Path
) -> None:
    deployment.start_api()
    body = search_of([6, 7])
    with computed_alone(body, tmp_path) as alone:
        search = deployment.submit(body, key="rolled")
        deployment.until(search, lambda doc: doc["progress"]["levels_done"] >= 1)
        client.start()
        for old in deployment.apis:
            deployment.replace_api(old)
        replace_dispatcher(deployment)
        replace_engine_host(deployment)
        replace_nodes(deployment)
        client.stop()
        ended = [deployment.wait(name) for name in (search, *client.searches)]
        assert [one["status"] for one in ended] == ["succeeded"] * len(ended), ended
        assert deployment.masks(search) == alone()

    assert_each_search_ended_once(deployment.objects, deployment.promised)
    starts: Counter[str] = Counter()
    for one in ended:
        events = deployment.pages(f"/v1/searches/{one['id']}/events")
        assert_no_level_twice(events)
        starts += starts_by_node(events)
    assert {node.name for node in deployment.nodes.workers} & set(starts), starts
    tickets = deployment.pages(f"/v1/tickets?search={search}")
    assert_tickets_verify(deployment.settings, [one["id"] for one in tickets if one["level"] == NUM_LEVELS])
    assert_answers_are_documented(deployment.told)
    assert deployment.unforeseen + sum(unforeseen_at(replica) for replica in deployment.apis) == 0


@pytest.mark.chaos
def test_a_leader_that_was_stopped_and_wakes_up_replaced_harms_nothing(deployment: Deployment, tmp_path: Path) -> None:
    body = search_of([9], steps=60_000)
    with computed_alone(body, tmp_path) as alone:
        search = deployment.submit(body, key="paused")
        deployment.until(search, lambda doc: doc["progress"]["levels_done"] >= 1)
        [old], epoch = deployment.dispatchers, deployment.epoch
        deployment.start_dispatcher()
        old.server.signal(signal.SIGSTOP)
        until(lambda: deployment.epoch == epoch + 1, TAKE_OVER_S, "no dispatcher took over")
        until(lambda: driver_epoch(deployment, search) == epoch + 1, TAKE_OVER_S, "no driver took over")
        old.server.signal(signal.SIGCONT)
        assert deployment.wait(search)["status"] == "succeeded"
        assert deployment.masks(search) == alone()

    assert old.server.process is not None
    until(lambda: not psutil.Process(old.server.process.pid).children(), HOST_S, "the old leader's children live")
    deployment.end_dispatcher(old)
    assert deployment.epoch == epoch + 1
    assert_each_search_ended_once(deployment.objects, deployment.promised)
    assert_no_level_twice(deployment.pages(f"/v1/searches/{search}/events"))


def driver_epoch(deployment: Deployment, search: str) -> int:
    """The highest epoch in the search's log."""
    log = deployment.objects / "searches" / "local" / search / "log"
    return max(int(json.loads(path.read_text())["epoch"]) for path in log.iterdir())


def replace_dispatcher(deployment: Deployment) -> None:
    """Let a new dispatcher stand beside the old one, which leads until it ends; then the new one does."""
    [old], epoch = deployment.dispatchers, deployment.epoch
    deployment.start_dispatcher()
    time.sleep(LOOK_S)
    assert deployment.epoch == epoch
    deployment.end_dispatcher(old)
    until(lambda: deployment.epoch == epoch + 1, TAKE_OVER_S, "no dispatcher took over")


def replace_engine_host(deployment: Deployment) -> None:
    """End the engine host with all engines; the dispatcher starts another."""
    [old] = until(lambda: engine_hosts(deployment), HOST_S, "there is no engine host")
    old.terminate()
    old.wait(HOST_S)
    until(lambda: engine_hosts(deployment), HOST_S, "there is no new engine host")


def replace_nodes(deployment: Deployment) -> None:
    """Let as many nodes join as there are, and tell the old ones to go, one after the other."""
    before = list(deployment.nodes.workers)
    deployment.nodes.add(len(before))
    for old in before:
        old.drain()
        deployment.nodes.wait_until_gone(old)


def engine_hosts(deployment: Deployment) -> list[psutil.Process]:
    """The engine host that the dispatcher has started."""
    [dispatcher] = deployment.dispatchers
    assert dispatcher.server.process is not None
    below = psutil.Process(dispatcher.server.process.pid).children()
    return [child for child in below if child.is_running() and "workers.engine_host" in child.cmdline()]


def until(reached: Callable[[], Any], timeout_s: float, problem: str) -> Any:
    """Wait until something is true, and return it."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := reached()):
        assert time.monotonic() < deadline_s, problem
        time.sleep(0.1)
    return found

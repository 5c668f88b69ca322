"""Cancel and death in the middle of a level: what is promised holds, and the masks stay the same."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lth_core.data import load
from lth_core.expansion import expand
from lth_core.lineage import run_control, run_lineage
from lth_core.parts import Resources
from lth_core.spec import SearchSpec
from tests.support.works import TENANT, Works, blobs, blobs_info, search_body

SLOW = {"steps": 200_000, "eval_every": 25_000, "batch_size": 20, "lr": 0.003}
ENDLESS = {"steps": 1_000_000, "eval_every": 1000, "batch_size": 20}


def test_cancel_stops_a_running_level_within_seconds(works: Works) -> None:
    search = works.submit({"train": ENDLESS, "replicates": [10]})
    works.until(search, _is_training)
    asked_at = time.monotonic()
    works.call(works.record.cancel(TENANT, search, "kill"))
    document = works.wait(search)
    assert document["status"] == "cancelled"
    assert time.monotonic() - asked_at < 15
    assert {lineage["status"] for lineage in works.lineages(search)} == {"cancelled"}


def test_a_search_that_no_driver_works_on_is_cancelled_at_once(works: Works) -> None:
    busy = [works.submit({"train": ENDLESS, "replicates": [replicate]}) for replicate in (12, 13)]
    for search in busy:
        works.until(search, lambda document: document["status"] != "queued")
    waiting = works.submit({"train": ENDLESS, "replicates": [14]})
    for search in (waiting, *busy):
        works.call(works.record.cancel(TENANT, search, "kill"))
        assert works.wait(search)["status"] == "cancelled"


def test_cancel_after_level_commits_what_is_running(works: Works) -> None:
    search = works.submit({"train": SLOW, "replicates": [11], "treatments": []})
    works.until(search, _is_training)
    works.call(works.record.cancel(TENANT, search, "after_level"))
    document = works.wait(search)
    assert document["status"] == "cancelled"
    assert document["progress"]["levels_done"] >= 1


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("victim", "replicate"),
    [("workers.driver", 20), ("ray::EngineProcess", 21), ("workers.engine_host", 22)],
)
def test_a_killed_process_costs_time_and_no_mask(works: Works, victim: str, replicate: int) -> None:
    spec: dict[str, Any] = {"train": SLOW, "replicates": [replicate], "treatments": ["shuffled_mask"]}
    search = works.submit(spec)
    works.until(search, lambda document: document["progress"]["levels_done"] >= 1)
    works.until(search, _is_training)
    works.kill(victim)
    document = works.wait(search)
    assert document["status"] == "succeeded", works.log_tail()
    assert works.masks(search) == undisturbed(replicate)


@pytest.mark.chaos
def test_a_killed_dispatcher_takes_its_children_along_and_its_successor_goes_on(works: Works) -> None:
    spec: dict[str, Any] = {"train": SLOW, "replicates": [30], "treatments": ["shuffled_mask"]}
    search = works.submit(spec)
    works.until(search, lambda document: document["progress"]["levels_done"] >= 1)
    before = works.processes("")
    works.dispatcher.kill()
    deadline = time.monotonic() + 15
    while any(process.is_running() and process.status() != "zombie" for process in before):
        assert time.monotonic() < deadline, [process.cmdline() for process in before if process.is_running()]
        time.sleep(0.1)
    works.dispatcher.start(lambda: True)
    document = works.wait(search, timeout_s=180)
    assert document["status"] == "succeeded", works.log_tail()
    assert works.masks(search) == undisturbed(30)
    epochs = [works.manifests(one["key"])[2]["epoch"] for one in works.lineages(search)]
    assert max(epochs) > 1


def undisturbed(replicate: int) -> dict[tuple[int, str, int, int], str]:
    """Mask digests of the same search computed by the science alone, in this process."""
    arrays = blobs()
    info = blobs_info()
    data = load(info, arrays)
    spec = SearchSpec.model_validate_json(json.dumps(search_body({"train": SLOW, "replicates": [replicate]})["spec"]))
    chain = expand(spec, tenant=TENANT, dataset=info, resources=Resources(), device_class="cpu")[0].spec
    found = {}
    masks = []
    for level, result in enumerate(run_lineage(chain, data, 3)):
        if level:
            found[replicate, "winning_ticket", 0, level] = result.core["digests"]["mask"]
            masks.append((level, result.mask))
            rewind = result.rewind
    control = chain.model_copy(update={"treatment": "shuffled_mask"})
    for result in run_control(control, data, masks, rewind):
        found[replicate, "shuffled_mask", 0, result.core["level"]] = result.core["digests"]["mask"]
    return found


def _is_training(document: dict[str, Any]) -> bool:
    return document["status"] == "running" and document["counts"]["running"] > 0

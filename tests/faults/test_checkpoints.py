"""The death of an engine in the middle of long levels costs seconds of them: another goes on from their checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lth_core.engines.checkpoint import Checkpoint
from lth_core.level import train_level
from lth_core.level_task import LevelTask
from lth_core.weights import to_safetensors
from service.settings import Settings
from service.store.record import Record
from tests.faults.conftest import computed_alone
from tests.support.stack import Stack
from tests.support.tiny import tiny_arrays, tiny_data, tiny_info, tiny_lineage
from tests.support.valkey import start_valkey, stop_valkey
from workers.bridge import Bridge
from workers.engines.orders import Order

STEPS = 15_000
ALONE: dict[str, Any] = {
    "spec": {
        "model": {"name": "mlp", "sizes": [64, 300, 100, 10]},
        "dataset": {"name": "digits"},
        "train": {"steps": STEPS, "eval_every": 500},
        "prune": {"levels": 1, "fraction": 0.4},
        "replicates": [0],
        "treatments": [],
    }
}
SLOTS, STEPS_OF_A_PACK = 4, 2000
PACKED = tiny_lineage(train={"steps": STEPS_OF_A_PACK, "eval_every": 500}, engine="pack")


def kept_steps(store: Path) -> list[int]:
    """Return how far the levels 0 in training were when they were last written."""
    paths = (store / "scratch").glob("checkpoints/local/*/L000.*.safetensors")
    return [Checkpoint.from_bytes(path.read_bytes()).step for path in paths]


def until_kept(store: Path, num: int) -> list[int]:
    """Wait for checkpoints of so many levels; return their steps."""
    deadline = time.monotonic() + 120
    while len(found := kept_steps(store)) < num:
        assert time.monotonic() < deadline, f"never {num} checkpoints: {found}"
        time.sleep(0.02)
    return found


def test_a_level_goes_on_where_its_killed_engine_had_last_written_and_ends_with_the_same_masks(
    stack: Stack, tmp_path: Path
) -> None:
    with computed_alone(ALONE, tmp_path) as alone:
        search = stack.submit(ALONE, key="long")
        [before] = until_kept(stack.home / "objects", 1)
        for engine in stack.processes("ray::", "Engine"):  # one of them trains
            engine.kill()
        assert stack.wait(search)["status"] == "succeeded"
        assert [before <= step < STEPS for step in resumed_at(stack, search)] == [True]
        assert stack.masks(search) == alone()


def resumed_at(stack: Stack, search: str) -> list[int]:
    """Return at which step the training of a search's dense networks went on."""
    names = [lineage["dense_key"].removeprefix("sha256:") for lineage in stack.pages(f"/v1/searches/{search}/lineages")]
    manifests = [stack.home / "objects" / "lineages" / "local" / name / "L000.json" for name in names]
    return [json.loads(path.read_text())["provenance"]["resumed_at"] for path in manifests]


def test_a_killed_full_pack_goes_on_in_another_process_with_every_level_and_to_the_same_bits(store: Path) -> None:
    lineages = [PACKED.model_copy(update={"replicate": replicate}) for replicate in range(SLOTS)]
    orders = [
        Order("local", "srch_x", f"lin_{i}", f"{i:064x}", 0, lineage.model_dump_json(), "cpu", 1, STEPS_OF_A_PACK)
        for i, lineage in enumerate(lineages)
    ]
    with engine_process(store, orders) as engine:
        before = until_kept(store, SLOTS)
        engine.kill()
        engine.wait()
    with engine_process(store, orders) as engine:
        assert engine.wait(timeout=240) == 0
    replies = json.loads((store.parent / "replies.json").read_text())
    assert [reply["engine"] for reply in replies] == ["pack"] * SLOTS
    assert all(min(before) <= reply["resumed_at"] < STEPS_OF_A_PACK for reply in replies), (before, replies)
    for lineage, reply in zip(lineages, replies, strict=True):
        assert reply["core"] == train_level(LevelTask(lineage, 0), tiny_data()).core


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """An object store with the tiny data set."""
    valkey = start_valkey()
    bridge = Bridge("record")
    try:
        folder = tmp_path / "objects"
        folder.mkdir()
        settings = Settings(home=tmp_path, redis_url=valkey.url, store_url=f"file://{folder}")
        record: Record = bridge.call(Record.open(settings))
        arrays = to_safetensors(tiny_arrays())
        bridge.call(record.register_dataset(tiny_info(), {"arrays.safetensors": arrays}))
        bridge.call(record.close())
        yield folder
    finally:
        bridge.close()
        stop_valkey(valkey)


@contextmanager
def engine_process(store: Path, orders: list[Order]) -> Iterator[subprocess.Popen[str]]:
    """An engine with as many slots as orders, in a process of its own."""
    environ = {
        **os.environ,
        "LTH_HOME": str(store.parent),
        "LTH_STORE_URL": f"file://{store}",
        "LTH_ENGINE_SLOTS": str(len(orders)),
        "LTH_CHECKPOINT_EVERY_S": "0.1",
    }
    command = [sys.executable, "-m", "tests.faults.engine_child", str(store.parent / "replies.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environ) as engine:
        assert engine.stdin is not None
        try:
            engine.stdin.write(json.dumps([order.to_dict() for order in orders]))
            engine.stdin.close()
            yield engine
        finally:
            engine.kill()

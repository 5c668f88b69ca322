"""`python -m workers.data`: what it registers, what it says, and how it refuses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lth_core.weights import content_digest
from service.settings import Settings
from service.store.record import Record
from workers import data


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose object store is reachable and whose Redis is not."""
    for name in ("LTH_REDIS_URL", "LTH_STORE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LTH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = data.main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def write_npz(path: Path, *, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    np.savez(
        path,
        train_images=rng.integers(0, 256, (20, 6, 5), dtype=np.uint8),
        train_labels=np.arange(20) % 2,
        test_images=rng.integers(0, 256, (6, 6, 5), dtype=np.uint8),
        test_labels=np.arange(6) % 2,
    )
    return path


async def read(name: str, digest: str) -> tuple[dict[str, Any], dict[str, Any]]:
    record = await Record.open(Settings(), check=False)
    try:
        return dict(await record.dataset(name)), dict(await record.dataset_arrays(name, digest))
    finally:
        await record.close()


def test_digits_are_registered_with_redis_out_of_reach(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "add", "digits", "--json")
    added = json.loads(out)
    assert code == 0
    assert added["created"] is True
    assert (added["shape"], added["num_train"], added["num_test"]) == ([1, 8, 8], 1437, 360)
    document, arrays = asyncio.run(read("digits", added["digest"]))
    assert content_digest(arrays) == added["digest"] == document["digest"]
    wide = arrays["train_images"].astype(np.float64)
    assert document["normalisation"]["mean"] == pytest.approx([wide.mean()], rel=1e-14)
    assert document["normalisation"]["std"] == pytest.approx([wide.std()], rel=1e-13)


def test_registering_the_same_content_again_changes_nothing_and_says_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_npz(tmp_path / "mine.npz"))
    assert "registered:" in run(capsys, "add", "mine", "--from", path)[1]
    stored = sorted((file, file.stat().st_mtime_ns) for file in (home / "objects/datasets").rglob("*.*"))
    code, out, _ = run(capsys, "add", "mine", "--from", path)
    assert code == 0
    assert "was registered already, nothing changed" in out
    assert sorted((file, file.stat().st_mtime_ns) for file in (home / "objects/datasets").rglob("*.*")) == stored


def test_other_content_under_the_same_name_becomes_the_current_one(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = []
    for seed in (0, 1):
        path = write_npz(tmp_path / f"{seed}.npz", seed=seed)
        digests.append(json.loads(run(capsys, "add", "mine", "--from", str(path), "--json")[1])["digest"])
    listed = json.loads(run(capsys, "ls", "--json")[1])
    assert [(one["name"], one["digest"]) for one in listed] == [("mine", digests[1])]
    assert asyncio.run(read("mine", digests[0]))[1].keys() == asyncio.run(read("mine", digests[1]))[1].keys()


def test_the_list_is_a_table_for_people(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "mine", "--from", str(write_npz(tmp_path / "mine.npz")))
    code, out, _ = run(capsys, "ls")
    assert code == 0
    assert "mine" in out
    assert "1 x 6 x 5" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["add", "Mine", "--from", "x.npz"], "name: must match"),
        (["add", "mine"], "name: 'mine' is not built in (digits, mnist"),
        (["add", "mnist", "--from", "x.npz"], "name: 'mnist' is built in and takes no --from"),
        (["add", "mine", "--from", "x.npz", "--download"], "do not go with --from"),
        (["add", "digits", "--root", "."], "digits comes with scikit-learn and takes neither"),
        (["add", "mine", "--from", "/nowhere"], "from: /nowhere is no folder"),
        (["add", "kmnist", "--root", "/nowhere"], "root: no readable kmnist under /nowhere/KMNIST/raw"),
        (["add", "mnist"], "home/data/MNIST/raw"),
    ],
)
def test_what_cannot_be_registered_is_refused_in_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert not out
    assert complaint in err.replace("\n", "")
    assert "Traceback" not in err


def test_a_store_that_cannot_be_written_is_exit_1(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LTH_STORE_URL", f"file://{tmp_path}/file/objects")
    code, out, err = run(capsys, "add", "mine", "--from", str(write_npz(tmp_path / "mine.npz")))
    assert code == 1
    assert not out
    assert "store" in err

"""`lth tickets upload`, `import` and `lth submit --init` against a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save_file
from typer.testing import CliRunner, Result

from service.cli.main import app
from tests.support.scripted_service import Asked, Says, ScriptedService, page, scripted_service
from tests.support.service_documents import TICKET

UPLOAD = "upl_01M819GX8CWEWRMKD33897TJYY"
NETWORK = {"model": {"name": "mlp", "sizes": [4, 3, 2]}, "in_shape": [1, 2, 2], "num_classes": 2}
DOCUMENT = {"id": UPLOAD, "object": "upload", "density": 0.25, **NETWORK}
MANIFEST = {"format": 1, "core": {"level": 3, "lineage": {**NETWORK, "train": {}}}}


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with scripted_service() as one:
        one.on("POST", "/v1/tickets", Says(201, DOCUMENT))
        yield one


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LTH_URL", raising=False)


def lth(*words: str, url: str) -> Result:
    return CliRunner().invoke(app, [*words, "--url", url])


def folder_of_a_ticket(folder: Path, manifest: object = MANIFEST) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "mask.bits").write_bytes(b"\x05\x00\x01")
    save_file({"fc1.weight": np.ones((3, 4), np.float32)}, folder / "rewind.safetensors")
    return folder


def form_of(asked: Asked) -> dict[str, bytes]:
    """The parts of a multipart form by name."""
    raw = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode() + asked.body
    parts = BytesParser().parsebytes(raw).get_payload()
    assert isinstance(parts, list)
    return {str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True) for part in parts}


@pytest.mark.parametrize("manifest", [MANIFEST, {"format": 1, **NETWORK}])
def test_a_downloaded_ticket_is_uploaded_as_it_lies_there(
    service: ScriptedService, tmp_path: Path, manifest: object
) -> None:
    folder = folder_of_a_ticket(tmp_path / "ticket", manifest)
    result = lth("tickets", "upload", str(folder), url=service.url)
    assert result.exit_code == 0, result.output
    assert UPLOAD in result.stdout
    [asked] = service.asked_for("POST", "/v1/tickets")
    form = form_of(asked)
    assert json.loads(form["manifest"]) == {"format": 1, **NETWORK}
    assert form["mask"] == b"\x05\x00\x01"
    assert load(form["rewind"])["fc1.weight"].shape == (3, 4)


def test_several_folders_are_several_uploads(service: ScriptedService, tmp_path: Path) -> None:
    folders = [str(folder_of_a_ticket(tmp_path / name)) for name in "ab"]
    answer = json.loads(lth("tickets", "upload", *folders, "--json", url=service.url).stdout)
    assert [one["id"] for one in answer] == [UPLOAD, UPLOAD]


@pytest.mark.parametrize("missing", ["manifest.json", "mask.bits", "rewind.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused_before_anything_is_sent(
    service: ScriptedService, tmp_path: Path, missing: str
) -> None:
    folder = folder_of_a_ticket(tmp_path / "ticket")
    (folder / missing).unlink()
    result = lth("tickets", "upload", str(folder), url=service.url)
    assert result.exit_code == 2
    assert missing.partition(".")[0] in result.stderr
    assert service.asked == []


def test_a_manifest_that_names_no_network_is_refused(service: ScriptedService, tmp_path: Path) -> None:
    folder = folder_of_a_ticket(tmp_path / "ticket", {"format": 1})
    result = lth("tickets", "upload", str(folder), url=service.url)
    assert result.exit_code == 2
    assert "model, in_shape, num_classes" in result.stderr


def test_a_ticket_of_another_framework_is_converted_here_and_uploaded(service: ScriptedService, tmp_path: Path) -> None:
    weights = {"fc1.weight": (3, 4), "fc1.bias": (3,), "out.weight": (2, 3), "out.bias": (2,)}
    arrays = {name: np.ones(shape, np.float32) for name, shape in weights.items()}
    for name in ("fc1.weight", "out.weight"):
        arrays[f"{name}_orig"], arrays[f"{name}_mask"] = arrays.pop(name), np.eye(*weights[name], dtype=np.float32)
    save_file(arrays, tmp_path / "pruned.safetensors")
    words = ["--from", "torch_prune", "--model", json.dumps(NETWORK["model"]), "--in-shape", "1x2x2", "--classes", "2"]
    result = lth("tickets", "import", str(tmp_path / "pruned.safetensors"), *words, url=service.url)
    assert result.exit_code == 0, result.output
    assert UPLOAD in result.stdout
    [asked] = service.asked_for("POST", "/v1/tickets")
    bits = np.concatenate([np.eye(3, 4).ravel(), np.eye(2, 3).ravel()]).astype(bool)
    assert form_of(asked)["mask"] == np.packbits(bits, bitorder="little").tobytes()

    written = lth(
        "tickets", "import", str(tmp_path / "pruned.safetensors"), *words, "-o", str(tmp_path / "out"), url=""
    )
    assert written.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "mask.bits",
        "rewind.safetensors",
    ]


def test_a_ticket_that_cannot_be_converted_is_not_uploaded(service: ScriptedService, tmp_path: Path) -> None:
    words = ["--from", "npz", "--model", "lenet_300_100", "--in-shape", "1x28x28"]
    assert lth("tickets", "import", str(tmp_path / "none"), *words, url=service.url).exit_code == 2
    words[1] = "pickle"
    assert lth("tickets", "import", str(tmp_path / "none"), *words, url=service.url).exit_code == 2
    assert service.asked == []


@pytest.mark.parametrize(("name", "kind"), [(TICKET, "ticket"), (UPLOAD, "upload")])
def test_submit_transfers_a_ticket_by_its_name(service: ScriptedService, name: str, kind: str) -> None:
    service.on("GET", "/v1/presets/lenet-digits", Says(document={"spec": {"prune": {"levels": 8, "fraction": 0.3}}}))
    service.on("POST", "/v1/searches", Says(202, {"id": "srch_x", "status": "queued"}))
    words = ["--preset", "lenet-digits", "--init", name, "--set", "train.steps=9"]
    assert lth("submit", *words, url=service.url).exit_code == 0
    spec = service.asked_for("POST", "/v1/searches")[0].json()["spec"]
    assert (spec["method"], spec["init"], spec["prune"]["levels"]) == ("transfer", {kind: name}, 1)
    assert spec["train"] == {"steps": 9}
    assert lth("submit", "--preset", "lenet-digits", "--init", "srch_x", url=service.url).exit_code == 2


def test_uploads_are_listed(service: ScriptedService) -> None:
    service.on("GET", "/v1/uploads", page(DOCUMENT))
    assert UPLOAD in lth("tickets", "uploads", url=service.url).stdout
    assert json.loads(lth("tickets", "uploads", "--json", url=service.url).stdout) == [DOCUMENT]

"""HTTP in, ticket out: what a researcher does with curl and ten lines of numpy."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch.nn.utils import prune

from tests.integration.service.conftest import SMALL
from tests.support.stack import Stack


def ticket_of(stack: Stack, search: dict[str, Any], level: int = 3, replicate: int = 0) -> dict[str, Any]:
    """Return the winning-ticket chain's ticket at one level."""
    for ticket in stack.pages(f"/v1/tickets?search={search['id']}&treatment=winning_ticket"):
        if ticket["level"] == level and ticket["replicate"] == replicate:
            return ticket
    raise AssertionError(f"no ticket at level {level}")


def test_a_search_ends_succeeded_with_every_level_committed(finished: dict[str, Any]) -> None:
    assert finished["status"] == "succeeded"
    assert finished["counts"]["succeeded"] == 2 * 3
    assert finished["progress"]["levels_done"] == finished["progress"]["levels_total"] == 2 * (4 + 3 + 3)


def test_the_packed_mask_has_the_kept_counts_of_its_manifest(stack: Stack, finished: dict[str, Any]) -> None:
    ticket = ticket_of(stack, finished)
    manifest = stack.get(f"/v1/tickets/{ticket['id']}/manifest")
    packed = stack.request("GET", f"/v1/tickets/{ticket['id']}/mask?format=packed").body
    assert hashlib.sha256(packed).hexdigest() == ticket["mask_sha256"]
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little").astype(bool)
    start = 0
    for layer in manifest["core"]["layers"]:
        size = int(np.prod(layer["shape"]))
        assert int(bits[start : start + size].sum()) == layer["kept"]
        start += size
    assert not bits[start:].any()
    assert [layer["kept"] for layer in manifest["core"]["layers"]] == [9830, 15360, 729]


def test_every_form_of_a_mask_says_the_same(stack: Stack, finished: dict[str, Any]) -> None:
    ticket = ticket_of(stack, finished)
    path = f"/v1/tickets/{ticket['id']}/mask"
    tensors = safetensors.numpy.load(stack.request("GET", f"{path}?format=safetensors").body)
    arrays = np.load(io.BytesIO(stack.request("GET", f"{path}?format=npz").body), allow_pickle=False)
    assert set(tensors) == set(arrays.files)
    for name, tensor in tensors.items():
        assert (tensor.astype(bool) == arrays[name]).all()


def test_the_torch_prune_download_loads_strictly_and_gives_the_tickets_logits(
    stack: Stack, finished: dict[str, Any]
) -> None:
    ticket = ticket_of(stack, finished)
    path = f"/v1/tickets/{ticket['id']}"
    answer = stack.request("GET", f"{path}/mask?format=torch_prune", timeout_s=60)
    while answer.status == 202:
        answer = stack.request("GET", f"{path}/mask?format=torch_prune", timeout_s=60)
    assert answer.status == 200, answer.body
    state = {name: torch.from_numpy(array) for name, array in safetensors.numpy.load(answer.body).items()}

    net = torch.nn.Sequential()
    for name, inputs, outputs in (("fc1", 64, 300), ("fc2", 300, 100), ("out", 100, 10)):
        net.add_module(name, prune.identity(torch.nn.Linear(inputs, outputs), "weight"))
    net.load_state_dict(state, strict=True)
    x = torch.linspace(-1, 1, 4 * 64).reshape(4, 64)
    logits = net.out(torch.relu(net.fc2(torch.relu(net.fc1(x)))))

    rewind = safetensors.numpy.load(stack.request("GET", f"{path}/rewind").body)
    masks = safetensors.numpy.load(stack.request("GET", f"{path}/mask?format=safetensors").body)
    hidden = x
    for name in ("fc1", "fc2", "out"):
        weight = np.where(masks[f"{name}.weight"].astype(bool), rewind[f"{name}.weight"], 0).astype(np.float32)
        hidden = torch.nn.functional.linear(hidden, torch.from_numpy(weight), torch.from_numpy(rewind[f"{name}.bias"]))
        hidden = torch.relu(hidden) if name != "out" else hidden
    assert (logits - hidden).abs().max().item() == 0


def test_the_open_lth_download_has_that_frameworks_layout(stack: Stack, finished: dict[str, Any]) -> None:
    ticket = ticket_of(stack, finished)
    answer = stack.request("GET", f"/v1/tickets/{ticket['id']}/mask?format=open_lth", timeout_s=60)
    assert answer.status == 200, answer.body
    archive = zipfile.ZipFile(io.BytesIO(answer.body))
    names = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
    report = json.loads(archive.read(names["sparsity_report.json"]))
    mask = torch.load(io.BytesIO(archive.read(names["mask.pth"])), weights_only=True)
    assert report["unpruned"] == sum(int(tensor.sum()) for tensor in mask.values())
    assert all(tensor.dtype == torch.int32 for tensor in mask.values())


def test_downloads_carry_their_digest_and_answer_ranges(stack: Stack, finished: dict[str, Any]) -> None:
    path = f"/v1/tickets/{ticket_of(stack, finished)['id']}/mask?format=packed"
    whole = stack.request("GET", path)
    assert whole.headers["etag"] == f'"sha256-{hashlib.sha256(whole.body).hexdigest()}"'
    part = stack.request("GET", path, headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert stack.request("GET", path, headers={"If-None-Match": whole.headers["etag"]}).status == 304
    assert stack.request("HEAD", path).headers["content-length"] == str(len(whole.body))


def test_one_key_makes_one_search_and_another_body_is_refused(stack: Stack, finished: dict[str, Any]) -> None:
    again = stack.request("POST", "/v1/searches", {"spec": SMALL}, {"Idempotency-Key": "finished"})
    assert (again.status, again.json()["id"]) == (200, finished["id"])
    assert again.headers["idempotency-replayed"] == "true"
    other = stack.request("POST", "/v1/searches", {"spec": {**SMALL, "replicates": 1}}, {"Idempotency-Key": "finished"})
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_second_search_adopts_what_is_committed(stack: Stack, finished: dict[str, Any]) -> None:
    longer = {**SMALL, "replicates": 1, "prune": {"levels": 4}}
    search = stack.wait(stack.submit({"spec": longer}))
    assert search["status"] == "succeeded"
    assert search["progress"]["levels_adopted"] == 4 + 3 + 3
    assert search["progress"]["levels_done"] == 5 + 4 + 4


def test_a_cancelled_search_stops_within_its_bound(stack: Stack) -> None:
    long = {**SMALL, "train": {"steps": 400_000, "eval_every": 20_000}, "replicates": [40]}
    search = stack.submit({"spec": long})
    stack.until(search, lambda doc: doc["status"] == "running" and doc["counts"]["running"] > 0)
    assert stack.request("POST", f"/v1/searches/{search}/cancel", {}).status == 202
    assert stack.wait(search, timeout_s=30)["status"] == "cancelled"
    again = stack.request("POST", f"/v1/searches/{search}/cancel", {})
    assert again.status == 200


def test_a_collapsed_lineage_stops_and_a_diverging_one_fails_while_others_go_on(stack: Stack) -> None:
    collapse = {
        **SMALL,
        "model": {"name": "mlp", "sizes": [64, 2, 10]},
        "prune": {"fraction": 0.95, "output_fraction": 0.95, "levels": 4},
        "treatments": [],
        "replicates": 1,
    }
    collapsed = stack.wait(stack.submit({"spec": collapse}))
    lineage = stack.pages(f"/v1/searches/{collapsed['id']}/lineages")[0]
    assert (lineage["status"], lineage["reason"], collapsed["status"]) == ("stopped", "collapsed", "succeeded")

    mixed = {
        **SMALL,
        "train": {"optimizer": "sgd", "steps": 60, "eval_every": 20, "lr": {"grid": [0.1, 10.0]}, "momentum": 0.99},
        "treatments": ["random_mask"],
        "replicates": 1,
        "model": {"name": "mlp", "sizes": [64, 300, 300, 300, 300, 10]},
    }
    search = stack.wait(stack.submit({"spec": mixed, "budget": {"max_failed_lineages": 4}}))
    by_status: dict[str, list[dict[str, Any]]] = {}
    for lineage in stack.pages(f"/v1/searches/{search['id']}/lineages"):
        by_status.setdefault(lineage["status"], []).append(lineage)
    assert search["status"] == "partial"
    assert {lineage["setting"]["train.lr"] for lineage in by_status["succeeded"]} == {0.1}
    chain = [lineage for lineage in by_status["failed"] if lineage["treatment"] == "winning_ticket"]
    assert chain[0]["error"]["class"] == "nonfinite"


def test_events_tell_every_level_and_resume_where_a_reader_left_off(stack: Stack, finished: dict[str, Any]) -> None:
    events = stack.pages(f"/v1/searches/{finished['id']}/events")
    committed = {event["event_id"] for event in events if event["type"] == "level.committed"}
    assert len(committed) == finished["progress"]["levels_total"]
    assert events[-1]["type"] == "search.succeeded"
    stream = stack.request(
        "GET", f"/v1/searches/{finished['id']}/events", headers={"Accept": "text/event-stream"}
    ).body.decode()
    marks = [line.removeprefix("id: ") for line in stream.splitlines() if line.startswith("id: ")]
    rest = stack.request(
        "GET",
        f"/v1/searches/{finished['id']}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": marks[-4]},
    ).body.decode()
    assert [line.removeprefix("id: ") for line in rest.splitlines() if line.startswith("id: ")] == marks[-3:]

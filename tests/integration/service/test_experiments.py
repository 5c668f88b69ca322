"""The paper's follow-ups over REST: small searches of every kind, their analyses and reports, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from service.client import Client, Search, Ticket
from service.wire.uploads import TicketFiles
from tests.support.stack import Stack

BASE: dict[str, Any] = {
    "model": {"name": "mlp", "sizes": [64, 12, 10]},
    "dataset": {"name": "digits"},
    "train": {"steps": 40, "eval_every": 10, "lr": 0.01},
    "prune": {"levels": 2, "fraction": 0.5},
    "replicates": 2,
    "treatments": ["random_reinit"],
    "keep": "all",
}
COLOURED: dict[str, Any] = {
    "dataset": {"name": "coloured"},
    "train": {"steps": 40, "eval_every": 10, "batch_size": 16},
}
NUM_WEIGHTS = 64 * 12 + 12 * 10
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "learning-rate rewinding": {"rewind": {"mode": "lr"}, "treatments": ["reset"]},
    "rewinding to an epoch": {"rewind": {"epoch": 1}, "treatments": ["identity", {"name": "noise", "sigma": 3.0}]},
    "one-shot": {"method": "one_shot", "prune": {"densities": [0.5, 0.1]}, "treatments": ["reordered"]},
    "snip": {"method": "snip", "treatments": ["shuffled_mask", "invert_scores"]},
    "resnet": {
        "model": {"name": "resnet_20", "width": 2},
        "train": {"steps": 10, "eval_every": 10, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "batch_size": 32},
        "prune": {"levels": 1, "scope": "global", "output_fraction": 0.0},
        "replicates": 1,
    },
}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url) as client:
        yield client


@pytest.fixture(scope="module")
def coloured(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A data set of a few coloured images, registered as a user would."""
    arrays: dict[str, Any] = {}
    for part, num in (("train", 40), ("test", 10)):
        arrays[f"{part}_images"] = np.arange(num * 3 * 32 * 32, dtype=np.uint8).reshape(num, 3, 32, 32)
        arrays[f"{part}_labels"] = np.arange(num) % 2
    path = tmp_path_factory.mktemp("coloured") / "coloured.npz"
    np.savez(path, **arrays)
    words = ["data", "add", COLOURED["dataset"]["name"], "--from", str(path), "--home", str(stack.home)]
    subprocess.run([sys.executable, "-m", "service.cli.main", *words], check=True)


@pytest.fixture(scope="module")
def searches(client: Client) -> dict[str, Search]:
    """All experiments, ended: they run side by side."""
    posted = {name: client.submit({**BASE, **changes}, name=name) for name, changes in EXPERIMENTS.items()}
    return {name: search.wait(180) for name, search in posted.items()}


def ticket_of(search: Search, level: int, treatment: str = "winning_ticket", replicate: int = 0) -> Ticket:
    tickets = search.tickets(treatment=treatment)
    return next(one for one in tickets if (one.level, one.document["replicate"]) == (level, replicate))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_succeeds_with_all_its_levels(searches: dict[str, Search], name: str) -> None:
    document = searches[name].document
    assert document["status"] == "succeeded", document["reason"]
    assert document["progress"]["levels_done"] == document["progress"]["levels_total"]


@pytest.mark.parametrize(
    ("name", "label", "names"),
    [
        ("learning-rate rewinding", "trained", {"trained_matches", "lost", "not_converged"}),
        ("rewinding to an epoch", "matching", {"paper_point", "certified", "matching", "mask_matters"}),
        ("one-shot", "winning", {"paper_point", "certified", "initialisation_matters"}),
    ],
)
def test_an_output_is_judged_under_the_name_it_deserves(
    searches: dict[str, Search], name: str, label: str, names: set[str]
) -> None:
    verdict = searches[name].analysis("verdict")
    level = next(level for level in verdict["levels"] if level["level"] == 1)
    assert level["label"] == label
    assert names <= set(level["verdicts"])
    assert ("certified" in level["verdicts"]) == (label != "trained")
    assert "2 replicates: bounds need at least 3, so nothing is certified" in verdict["warnings"]


def test_the_reset_control_starts_where_the_chain_does_not(searches: dict[str, Search]) -> None:
    search = searches["learning-rate rewinding"]
    trained, reset = (ticket_of(search, 2, name).manifest() for name in ("winning_ticket", "reset"))
    assert (trained["start"]["weights"], reset["start"]["weights"]) == ("W_T of level 1", "W_0")
    assert trained["core"]["digests"]["mask"] == reset["core"]["digests"]["mask"]


def test_an_identity_is_its_parent_bit_for_bit(searches: dict[str, Search]) -> None:
    search = searches["rewinding to an epoch"]
    parent, copy = (ticket_of(search, 2, name).manifest()["core"] for name in ("winning_ticket", "identity"))
    assert parent["digests"]["final"] == copy["digests"]["final"]
    assert parent["rewind_step"] == 21, "1294 examples in batches of 60"


def test_one_shot_masks_have_exactly_the_densities_that_were_asked_for(searches: dict[str, Search]) -> None:
    search = searches["one-shot"]
    kept = [sum(layer["kept"] for layer in ticket_of(search, n).manifest()["core"]["layers"]) for n in (1, 2)]
    assert kept == [round(density * NUM_WEIGHTS) for density in (0.5, 0.1)]


def test_a_network_with_batch_norm_keeps_its_running_statistics(searches: dict[str, Search]) -> None:
    ticket = ticket_of(searches["resnet"], 1)
    rewind = safetensors.numpy.load(ticket.fetch("rewind").data)
    assert any(name.endswith("running_var") for name in rewind)
    assert set(ticket.mask()) <= set(rewind)


@pytest.mark.parametrize("analysis", ["overlap", "layer_densities", "signs", "movement", "barrier", "instability"])
def test_analyses_of_a_search_are_served(searches: dict[str, Search], analysis: str) -> None:
    document = searches["one-shot"].analysis(analysis)
    assert (document["name"], document["subject"]) == (analysis, searches["one-shot"].id)
    assert document["definitions"]


def test_an_analysis_that_needs_what_was_not_run_says_so(stack: Stack, searches: dict[str, Search]) -> None:
    root = f"/v1/searches/{searches['snip'].id}/analysis"
    answer = stack.request("GET", f"{root}/instability", timeout_s=60)
    assert answer.json()["code"] == "not_possible"
    assert "reordered" in answer.json()["detail"]
    assert stack.request("GET", f"{root}/astrology").status == 404


def test_the_report_is_served_in_every_form_with_its_figures(searches: dict[str, Search]) -> None:
    search = searches["snip"]
    report = json.loads(search.report("json"))
    for form, word in (("markdown", "# "), ("html", "<html"), ("csv", ","), ("bibtex", "@")):
        text = search.report(form).decode()
        assert word in text
        assert search.id in text or form in ("csv", "bibtex")
    figure = report["figures"][0]["id"]
    assert search.figure(f"{figure}.png").startswith(b"\x89PNG")
    assert b"<svg" in search.figure(f"{figure}.svg")


def transfer(client: Client, init: dict[str, str]) -> Search:
    recipe = {"train": {"steps": 30, "eval_every": 10, "optimizer": "sgd", "lr": 0.1}, "prune": {"levels": 1}}
    spec = {**BASE, **recipe, "method": "transfer", "init": init, "replicates": 1, "treatments": ["shuffled_mask"]}
    return client.submit(spec).wait(120)


def test_tickets_and_uploads_are_trained_by_another_recipe(
    client: Client, searches: dict[str, Search], tmp_path: Path
) -> None:
    ticket = ticket_of(searches["one-shot"], 2)
    ticket.download(tmp_path / "ticket")
    files = TicketFiles.from_folder(tmp_path / "ticket")
    upload = client.upload_ticket(files)
    assert client.upload_ticket(files)["id"] == upload["id"]
    assert upload["mask_sha256"] == ticket.document["mask_sha256"]
    assert upload["id"] in [one["id"] for one in client.uploads()]

    moved = [transfer(client, {"ticket": ticket.id}), transfer(client, {"upload": upload["id"]})]
    for search in moved:
        assert search.status == "succeeded"
        assert ticket_of(search, 1).document["mask_sha256"] == ticket.document["mask_sha256"]
    finals = [ticket_of(search, 1).manifest()["core"]["digests"]["final"] for search in moved]
    assert finals[0] == finals[1]


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"rewind": {"epoch": 99}}, "/spec/rewind/epoch", ["<= 1", "got 99"]),
        (
            {"method": "snip", "prune": {"densities": [0.01], "exclude": ["fc1"]}},
            "/spec/prune/densities/0",
            [">= 0.86", "fc1.weight", "got 0.01"],
        ),
        (
            {"method": "synflow", "model": {"name": "torchvision", "arch": "mobilenet_v3_small"}, **COLOURED},
            "/spec/method",
            ["mobilenet_v3_small", "resnet", "snip"],
        ),
        ({"method": "transfer", "prune": {"levels": 1}}, "/spec", ["init"]),
        (
            {"method": "transfer", "prune": {"levels": 1}, "init": {"upload": "upl_01M819GX8CWEWRMKD33897TJYY"}},
            "/spec/init/upload",
            [],
        ),
        ({"treatments": ["reset"]}, "/spec/treatments/0", ["rewind.mode lr"]),
    ],
)
def test_what_is_impossible_is_refused_with_what_is_possible(
    stack: Stack, coloured: None, changes: dict[str, Any], pointer: str, words: list[str]
) -> None:
    answer = stack.request("POST", "/v1/searches", {"spec": {**BASE, **changes}})
    problem = answer.json()
    assert answer.status == 422, problem
    found = {error["pointer"]: error["detail"] for error in problem["errors"]}
    assert pointer in found, problem
    assert all(word in found[pointer] for word in words), found

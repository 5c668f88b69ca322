"""Bad input over HTTP: a problem with pointer, bound and value, as fast for a billion cells as for two."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.service.conftest import SMALL
from tests.support.stack import Stack


def refused(stack: Stack, spec: dict[str, Any]) -> dict[str, Any]:
    """POST a bad specification and return its problem."""
    answer = stack.request("POST", "/v1/searches", {"spec": spec})
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status == 422, problem
    return problem


@pytest.mark.parametrize(
    ("part", "pointer", "words"),
    [
        ({"model": {"name": "lenet_5"}}, "/spec/model/name", ["lenet_300_100"]),
        ({"prune": {"fraction": 0}}, "/spec/prune/fraction", ["> 0", "got 0"]),
        ({"prune": {"fraction": 1}}, "/spec/prune/fraction", ["< 1", "got 1"]),
        ({"rewind": {"step": 60}}, "/spec/rewind/step", ["60"]),
        ({"replicates": 0}, "/spec/replicates", ["1", "64", "0"]),
        ({"train": {"steps": 60, "eval_every": 20, "batch_size": 4000}}, "/spec/train/batch_size", ["1294", "4000"]),
    ],
)
def test_a_bad_value_names_pointer_bound_and_value(
    stack: Stack, part: dict[str, Any], pointer: str, words: list[str]
) -> None:
    problem = refused(stack, {**SMALL, **part})
    found = {error["pointer"]: error["detail"] for error in problem["errors"]}
    assert pointer in found, problem
    assert all(word in found[pointer] for word in words), found


def test_an_unregistered_data_set_is_answered_with_the_command(stack: Stack) -> None:
    problem = refused(stack, {**SMALL, "dataset": {"name": "mnist"}})
    assert problem["code"] == "unknown_dataset"
    assert "lth data add mnist" in problem["detail"]


def test_a_grid_over_the_quota_names_count_and_bound_however_large(stack: Stack) -> None:
    values = [i / 1000 for i in range(1, 33)]
    big = {**SMALL, "train": {name: {"grid": values} for name in ("lr", "weight_decay", "gamma")}}
    big["prune"] = {name: {"grid": values} for name in ("fraction", "conv_fraction", "output_fraction")}
    problem = refused(stack, big)
    assert problem["code"] == "too_many_lineages"
    assert str(32**6 * 2 * 3) in problem["detail"]
    assert "256" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"spec": {"model": }', 400, "bad_json"),
        (b'{"spec": NaN}', 400, "bad_json"),
        (b'{"spec": {}, "spec": {}}', 400, "bad_json"),
        (b'{"name": "\\ud800"}', 400, "bad_json"),
        (b"[" * 100_000, 413, "body_too_large"),
        (b" " * 10_000_000, 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_json_is_a_problem_too(stack: Stack, body: bytes, status: int, code: str) -> None:
    answer = stack.request("POST", "/v1/searches", body)
    assert (answer.status, answer.json()["code"]) == (status, code)


def test_nothing_unexpected_was_counted(stack: Stack, finished: dict[str, Any]) -> None:
    health = stack.get("/readyz")
    assert health["status"] == "ok", json.dumps(health)

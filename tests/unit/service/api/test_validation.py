"""A refused body is told where, which bound and which value, without its text being echoed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth_core.cells import SpecError
from service.api.bodies import check_size, parse_submission
from service.api.errors import ApiError, translate
from service.api.estimate import estimate, num_steps


def body(**parts: Any) -> dict[str, Any]:
    spec = {"model": {"name": "lenet_300_100"}, "dataset": {"name": "digits"}, **parts}
    return {"spec": spec}


def refusal(sent: Any) -> ApiError:
    with pytest.raises((ApiError, SpecError)) as caught:
        parse_submission(sent).spec.check()
    refused = translate(caught.value)
    assert refused is not None
    return refused


@pytest.mark.parametrize(
    ("sent", "pointer", "words"),
    [
        (body(prune={"fraction": 1.5}), "/spec/prune/fraction", "must be < 1, got 1.5"),
        (body(prune={"fraction": 0}), "/spec/prune/fraction", "must be > 0, got 0"),
        (body(prune={"fraction": 1}), "/spec/prune/fraction", "must be < 1, got 1"),
        (body(prune={"levels": 41}), "/spec/prune/levels", "must be <= 40, got 41"),
        (body(prune={"levels": True}), "/spec/prune/levels", "must be an integer, got true"),
        (body(replicates=0), "/spec/replicates", "got 0"),
        (body(replicates=[]), "/spec/replicates", "at least 1"),
        (body(model={"name": "lenet"}), "/spec/model/name", 'got "lenet"'),
        (body(rewind={"step": 5000}), "/spec/rewind/step", "must be < train.steps (5000), got 5000"),
        (body(train={"steps": 10}), "/spec/train/eval_every", "must be <= steps (10), got 100"),
        (body(train={"lr": {"grid": [0.1, 11]}}), "/spec/train/lr/grid/1", "must be <= 10, got 11"),
        (body(train={"lr": {"grid": []}}), "/spec/train/lr/grid", "1 to 64"),
        (body(train={"lr": "fast"}), "/spec/train/lr", 'must be a number, got "fast"'),
        (body(train=[1]), "/spec/train", "must be an object, got a list of 1"),
        (body(nonsense=1), "/spec/nonsense", "is not a known member"),
        (body(treatments=["noise", "none"]), "/spec/treatments/1/name", 'got "none"'),
        (body(treatments=[{"name": "noise", "sigma": 0}]), "/spec/treatments/0/sigma", "must be > 0, got 0"),
        (body(treatments=[{"name": "reuse", "sigma": 2.0}]), "/spec/treatments/0", "sigma belongs to treatment noise"),
        (body(treatments=["reset"]), "/spec/treatments/0", "rewind.mode"),
        (body(treatments=["noise", "reordered"]), "/spec/treatments/1", "keep must be 'all'"),
        (body(method="one_shot", rewind={"mode": "lr"}), "/spec/rewind/mode", "must be weights with method one_shot"),
        (body(rewind={"epoch": 1, "step": 5}), "/spec/rewind/epoch", "leave step out"),
        (body(prune={"densities": [0.5, 0.2]}), "/spec/prune/densities", "not to imp"),
        (body(method="snip", prune={"densities": [0.2, 0.5]}), "/spec/prune", "must fall"),
        (body(method="snip", prune={"densities": [0.5, 1]}), "/spec/prune/densities/1", "must be < 1, got 1"),
        (body(method="snip", prune={"densities": [0.5], "levels": 3}), "/spec/prune", "number of densities, 1"),
        (body(model={"name": "resnet_20_0"}), "/spec/model/name", 'got "resnet_20_0"'),
        (body(model={"name": "resnet_20_2000"}), "/spec/model/width", "must be <= 1024, got 2000"),
        (body(model={"name": "vgg_19", "width": 32}), "/spec/model", "width belongs to resnet_20"),
        (body(init={"upload": "x"}, method="transfer"), "/spec/init/upload", "must match"),
        ({}, "/spec", "is required"),
        ([], "", "must be an object"),
        ("x" * 5000, "", "a text of 5000 characters"),
        ({**body(), "labels": {"a": "b", "c": 7}}, "/labels/c", "must be a text, got 7"),
    ],
)
def test_pointer_bound_and_value_are_named(sent: Any, pointer: str, words: str) -> None:
    error = refusal(sent)
    assert error.code == "invalid_spec"
    assert any(line["pointer"] == pointer and words in line["detail"] for line in error.errors), error.errors


def test_long_input_is_not_echoed() -> None:
    error = refusal(body(model={"name": "secret" * 50}))
    assert "secretsecret" not in str(error.errors)


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"train": {"precision": "bfloat16"}}, "/spec/train/precision"),
        ({"prune": {"biases": "own_tensor"}}, "/spec/prune/biases"),
        ({"prune": {"granularity": {"grid": ["weight", "channel"]}}}, "/spec/prune/granularity"),
    ],
)
def test_what_is_known_but_not_computed_is_not_supported(parts: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_submission(body(**parts))
    assert caught.value.status == 501
    assert caught.value.errors[0]["pointer"] == pointer


def test_a_grid_over_the_quota_is_refused_by_lengths_naming_count_and_bound() -> None:
    grid = {"grid": [i / 100 for i in range(1, 65)]}
    parts = {"prune": {"fraction": grid}, "train": {"lr": grid, "momentum": grid, "weight_decay": grid, "gamma": grid}}
    submission = parse_submission(body(**parts, replicates=1, treatments=[]))
    with pytest.raises(ApiError) as caught:
        check_size(submission, 256)
    assert caught.value.code == "too_many_lineages"
    assert str(64**5) in caught.value.detail
    assert "256" in caught.value.detail
    assert len(caught.value.errors) == 5


def test_a_width_in_the_name_is_a_width() -> None:
    assert parse_submission(body(model={"name": "resnet_20_32"})).spec.model.width == 32


def test_reordered_chains_are_counted_from_level_0() -> None:
    treatments = ["random_reinit", {"name": "reordered", "repeats": 2}]
    spec = parse_submission(body(treatments=treatments, keep="all", replicates=3, prune={"levels": 4})).spec
    counted = estimate(spec, max_lineages=256)
    assert counted["lineages"] == 3 * 4
    assert counted["levels"] == 3 * (5 + 4 + 2 * 5)


@given(st.lists(st.integers(100, 300), min_size=1, max_size=3, unique=True), st.integers(1, 3), st.integers(1, 3))
def test_counted_steps_equal_the_steps_of_all_cells(steps: list[int], replicates: int, levels: int) -> None:
    parts = {"train": {"steps": {"grid": steps}}, "prune": {"levels": levels, "fraction": {"grid": [0.1, 0.2]}}}
    spec = parse_submission(body(**parts, replicates=replicates, treatments=["random_mask"])).spec
    expected = sum(cell.train.steps * replicates * (2 * levels + 1) for cell in spec.settings())
    assert num_steps(spec) == expected
    assert estimate(spec, max_lineages=1)["fits"] is False

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
        ({"method": "snip"}, "/spec/method"),
        ({"model": {"name": "resnet_20"}}, "/spec/model/name"),
        ({"treatments": ["noise"]}, "/spec/treatments/0"),
        ({"prune": {"criterion": {"grid": ["magnitude", "movement"]}}}, "/spec/prune/criterion"),
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


@given(st.lists(st.integers(100, 300), min_size=1, max_size=3, unique=True), st.integers(1, 3), st.integers(1, 3))
def test_counted_steps_equal_the_steps_of_all_cells(steps: list[int], replicates: int, levels: int) -> None:
    parts = {"train": {"steps": {"grid": steps}}, "prune": {"levels": levels, "fraction": {"grid": [0.1, 0.2]}}}
    spec = parse_submission(body(**parts, replicates=replicates, treatments=["random_mask"])).spec
    expected = sum(cell.train.steps * replicates * (2 * levels + 1) for cell in spec.settings())
    assert num_steps(spec) == expected
    assert estimate(spec, max_lineages=1)["fits"] is False

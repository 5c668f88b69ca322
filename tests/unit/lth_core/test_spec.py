"""The specification: strict, bounded, countable without building it, with keys that never drift."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lth_core.canonical import canonical_json
from lth_core.cells import SpecError
from lth_core.spec import SearchSpec, Submission

MINIMAL: dict[str, Any] = {"model": {"name": "lenet_300_100"}, "dataset": {"name": "mnist"}}


def spec(**parts: Any) -> SearchSpec:
    """Build a specification from JSON-like parts."""
    return SearchSpec.model_validate({**MINIMAL, **parts})


def errors(**parts: Any) -> dict[tuple[int | str, ...], str]:
    """Return the refusals of a specification by location."""
    with pytest.raises(ValidationError) as caught:
        spec(**parts)
    return {line["loc"]: line["msg"] for line in caught.value.errors()}


def test_a_model_and_a_data_set_are_enough() -> None:
    assert spec().num_lineages == 3 * 2
    assert spec().num_levels == 3 * (6 + 5)


def test_the_key_of_the_minimal_specification_never_changes() -> None:
    assert spec().key == "7c7a07a6bdc26eaa3459db690f22251812cf81d8106192af7f801e87c2dc8bfe"
    written_out = SearchSpec.model_validate(spec().model_dump(mode="json"))
    assert written_out.key == spec().key
    assert canonical_json(spec().canonical()) == canonical_json(MINIMAL)


@pytest.mark.parametrize(
    ("parts", "location"),
    [
        ({"model": {"name": "lenet"}}, ("model", "name")),
        ({"prune": {"fraction": 0}}, ("prune", "fraction")),
        ({"prune": {"fraction": 1}}, ("prune", "fraction")),
        ({"prune": {"fraction": float("nan")}}, ("prune", "fraction")),
        ({"prune": {"levels": 41}}, ("prune", "levels")),
        ({"prune": {"levels": True}}, ("prune", "levels")),
        ({"train": {"lr": "0.1"}}, ("train", "lr")),
        ({"train": {"steps": 0}}, ("train", "steps")),
        ({"train": {"epochs": 3}}, ("train", "epochs")),
        ({"replicates": 0}, ("replicates",)),
        ({"replicates": 65}, ("replicates",)),
        ({"replicates": [1, 1]}, ()),
        ({"treatments": ["random_restart"]}, ("treatments", 0, "name")),
        ({"treatments": [{"name": "random_mask", "repeats": 33}]}, ("treatments", 0, "repeats")),
        ({"dataset": {"name": "../etc"}}, ("dataset", "name")),
    ],
)
def test_a_bad_value_is_refused_at_its_place(parts: dict[str, Any], location: tuple[int | str, ...]) -> None:
    assert location in errors(**parts)


@pytest.mark.parametrize(
    ("parts", "pointer", "bound"),
    [
        ({"train": {"steps": 100}, "rewind": {"step": 100}}, "/rewind/step", "< train.steps (100), got 100"),
        ({"train": {"steps": 50}}, "/train/eval_every", "<= steps (50), got 100"),
        ({"train": {"milestones": [300, 200]}}, "/train/milestones", "ascend"),
        ({"train": {"momentum": 0.9}}, "/train/momentum", "sgd"),
        ({"prune": {"levels": {"grid": [1, 2]}}}, "/prune/levels", "no grid"),
        ({"prune": {"scope": "global", "output_fraction": 0.1}}, "/prune/output_fraction", "0 or 0.2"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused_with_bound_and_value(
    parts: dict[str, Any], pointer: str, bound: str
) -> None:
    with pytest.raises(SpecError) as caught:
        spec(**parts).check()
    assert caught.value.pointer == pointer
    assert bound in caught.value.detail


def test_every_cell_of_a_grid_obeys_all_rules() -> None:
    grid = spec(train={"steps": {"grid": [500, 200]}}, rewind={"step": {"grid": [0, 300]}})
    with pytest.raises(SpecError, match=r"rewind/step: must be < train.steps \(200\), got 300"):
        grid.check()


def test_a_grid_multiplies_settings_and_keeps_the_order_it_was_given_in() -> None:
    grid = spec(prune={"fraction": {"grid": [0.5, 0.2]}}, train={"lr": {"grid": [0.1, 0.2, 0.3]}})
    cells = [setting.cell for setting in grid.settings()]
    assert grid.num_settings == len(cells) == 6
    assert cells[0] == {"train.lr": 0.1, "prune.fraction": 0.5}
    assert cells[1] == {"train.lr": 0.1, "prune.fraction": 0.2}
    assert [s.prune.fraction for s in grid.settings()] == [0.5, 0.2] * 3


def test_a_bad_grid_value_is_refused_at_its_index() -> None:
    found = errors(train={"lr": {"grid": [0.1, 11, 0.1]}})
    assert "less than or equal to 10" in found["train", "lr", "grid", 1]
    assert "distinct" in found["train", "lr", "grid", 2]
    assert "1 to 64" in errors(train={"lr": {"grid": []}})["train", "lr", "grid"]
    assert "no grid" in errors(train={"milestones": {"grid": [[1]]}})["train", "milestones"]


def test_a_grid_of_a_billion_cells_is_counted_without_being_built() -> None:
    values = [i / 1000 for i in range(1, 33)]
    axes = {name: {"grid": values} for name in ("lr", "weight_decay", "gamma", "momentum")}
    big = spec(train=axes, prune={"fraction": {"grid": values}, "output_fraction": {"grid": values}})
    assert big.num_settings == 32**6 > 10**9
    assert big.num_lineages == 32**6 * 6


scalars = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.one_of(st.floats(1e-6, 10), st.lists(st.floats(1e-6, 10), min_size=1, max_size=4, unique=True)),
        "steps": st.integers(200, 10_000),
        "weight_decay": st.floats(0, 1),
        "test_curve": st.booleans(),
    },
)


@given(scalars, st.lists(st.integers(0, 2**53), min_size=1, max_size=5, unique=True))
def test_a_specification_survives_its_json_with_an_equal_key(train: dict[str, Any], seeds: list[int]) -> None:
    parts = {k: {"grid": v} if isinstance(v, list) else v for k, v in train.items()}
    first = spec(train=parts, replicates=seeds)
    again = SearchSpec.model_validate(json.loads(json.dumps(first.model_dump(mode="json"))))
    assert again == first
    assert again.key == first.key
    assert SearchSpec.model_validate(json.loads(canonical_json(first.canonical()))).key == first.key


def test_a_default_written_out_does_not_change_the_key_and_another_value_does() -> None:
    assert spec(prune={"fraction": 0.2, "output_fraction": 0.1}).key == spec().key
    assert spec(prune={"output_fraction": 0.2}).key != spec().key
    assert spec(treatments=[{"name": "random_reinit", "repeats": 1}]).key == spec().key


def test_a_submission_is_named_after_model_and_data_set() -> None:
    assert Submission.model_validate({"spec": MINIMAL}).title == "lenet_300_100-mnist"
    with pytest.raises(ValidationError):
        Submission.model_validate({"spec": MINIMAL, "labels": {str(i): "" for i in range(17)}})

"""The catalog: every known choice with its support, and what is not computed says so."""

from __future__ import annotations

from typing import Any

import pytest

from lth_core.catalog import SUPPORTED, catalog, known, unsupported
from lth_core.spec import SearchSpec


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"prune": {"granularity": "channel"}}, "/prune/granularity"),
        ({"prune": {"biases": {"grid": ["never", "own_tensor"]}}}, "/prune/biases"),
        ({"prune": {"fraction_of": "initial_linear"}}, "/prune/fraction_of"),
        ({"prune": {"count_base": "all_prunable"}}, "/prune/count_base"),
        ({"train": {"precision": "bfloat16"}}, "/train/precision"),
    ],
)
def test_a_known_choice_that_is_not_computed_yet_is_named(parts: dict[str, Any], pointer: str) -> None:
    base = {"model": {"name": "lenet_300_100"}, "dataset": {"name": "mnist"}}
    found = dict(unsupported(SearchSpec.model_validate({**base, **parts})))
    assert list(found) == [pointer]
    assert "not supported" in found[pointer]


def test_every_network_method_criterion_and_treatment_is_computed() -> None:
    for choice in ("model", "method", "treatments", "prune.criterion", "prune.count_rule", "rewind.mode"):
        assert SUPPORTED[choice] == set(known(choice))


def test_the_catalog_lists_every_known_name_with_its_support() -> None:
    choices = catalog()["choices"]
    for choice, supported in SUPPORTED.items():
        assert supported <= set(known(choice))
        assert {c["name"] for c in choices[choice] if c["supported"]} == supported


def test_the_schema_allows_one_grid_for_each_scalar_and_none_inside_a_grid() -> None:
    for _ in range(2):
        schema = SearchSpec.model_json_schema()["$defs"]["Prune"]["properties"]
    choices = schema["fraction"]["anyOf"]
    grids = [choice for choice in choices if "grid" in choice.get("properties", {})]
    assert len(grids) == 1
    assert grids[0]["properties"]["grid"]["items"]["type"] == "number"
    assert schema["exclude"]["type"] == "array"

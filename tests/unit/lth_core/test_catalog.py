"""Presets and catalog: every name is a whole specification, and what is not computed says so."""

from __future__ import annotations

from typing import Any

import pytest

from lth_core.catalog import SUPPORTED, catalog, known, unsupported
from lth_core.presets import PRESETS
from lth_core.spec import SearchSpec, Submission

PAPER = {  # Frankle & Carbin 2019, figure 2: steps, learning rate, conv fraction
    "lenet-mnist": (50_000, 0.0012, 0.2),
    "conv2-cifar10": (20_000, 0.0002, 0.1),
    "conv4-cifar10": (25_000, 0.0003, 0.1),
    "conv6-cifar10": (30_000, 0.0003, 0.15),
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_whole_submission_that_this_version_runs(name: str) -> None:
    submission = PRESETS[name]()
    submission.spec.check()
    assert list(unsupported(submission.spec)) == []
    assert Submission.model_validate(submission.model_dump(mode="json")) == submission


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_presets_have_the_papers_numbers(name: str) -> None:
    spec = PRESETS[name]().spec
    steps, lr, conv_fraction = PAPER[name]
    assert (spec.train.steps, spec.train.lr, spec.train.batch_size, spec.train.optimizer) == (steps, lr, 60, "adam")
    assert spec.prune.fraction_of_kind("conv") == conv_fraction
    assert (spec.prune.fraction_of_kind("fc"), spec.prune.fraction_of_kind("output")) == (0.2, 0.1)


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"method": "snip"}, "/method"),
        ({"model": {"name": "vgg_19"}}, "/model/name"),
        ({"treatments": ["random_mask", "reuse"]}, "/treatments/1"),
        ({"prune": {"criterion": {"grid": ["magnitude", "movement"]}}}, "/prune/criterion"),
        ({"rewind": {"mode": "lr"}}, "/rewind/mode"),
        ({"train": {"precision": "bfloat16"}}, "/train/precision"),
    ],
)
def test_a_known_choice_that_is_not_computed_yet_is_named(parts: dict[str, Any], pointer: str) -> None:
    base = {"model": {"name": "lenet_300_100"}, "dataset": {"name": "mnist"}}
    found = dict(unsupported(SearchSpec.model_validate({**base, **parts})))
    assert list(found) == [pointer]
    assert "not supported" in found[pointer]


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

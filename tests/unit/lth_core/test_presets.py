"""Every preset: a whole specification with the literature's numbers, its exact weight counts, ladder and size."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import pytest

from lth_core.architecture import TensorSpec, architecture, prunable
from lth_core.catalog import unsupported
from lth_core.expansion import DatasetInfo, expand
from lth_core.parts import Resources
from lth_core.presets import PRESETS
from lth_core.pruning import density_ladder
from lth_core.spec import SearchSpec, Submission

DATASETS = {
    name: DatasetInfo(name=name, digest="0" * 64, shape=shape, num_classes=10, num_train=train, num_test=test)
    for name, shape, train, test in (
        ("mnist", (1, 28, 28), 60_000, 10_000),
        ("cifar10", (3, 32, 32), 50_000, 10_000),
        ("digits", (1, 8, 8), 1_437, 360),
    )
}
WEIGHTS = {
    "lenet-digits": 64 * 300 + 30_000 + 1_000,
    "lenet-mnist": 266_200,
    "conv2-cifar10": 4_300_992,
    "conv4-cifar10": 2_425_024,
    "conv6-cifar10": 2_261_184,
    "resnet20-cifar10": 270_896,
    "vgg16-cifar10": 14_710_464 + 5_120,
    "vgg19-cifar10": 20_024_000,
}
"""Prunable weights of the networks by the beginning of the preset's name."""
LINEAGES = {  # settings x replicates x (1 + draws of controls)
    "lenet-digits": 3 * 3,
    "lenet-mnist": 5 * 2,
    "conv4-cifar10": 5 * 2,
    "conv4-cifar10-dropout": 3 * 2,
    "resnet20-cifar10-warmup": 5 * 2,
    "vgg19-cifar10-high": 5 * 2,
    "lenet-mnist-random-sparse": 3 * (1 + 1 + 10),
    "lenet-mnist-reuse": 3 * 6,
    "lenet-mnist-noise": 3 * 6,
    "lenet-mnist-adam-rates": 6 * 3 * 2,
    "lenet-mnist-continued": 3 * 2,
    "resnet20-cifar10-warmup-lengths": 4 * 3 * 2,
    "resnet20-cifar10-rewind": 4 * 3 * 3,
    "vgg16-cifar10-synflow": 3 * 4,
    "resnet20-cifar10-random-erk": 3 * 2,
}
FIGURE_2 = {  # steps, learning rate, batch size, optimizer, weight decay, milestones, warm-up
    "lenet-mnist": (50_000, 0.0012, 60, "adam", 0.0, (), 0),
    "conv2-cifar10": (20_000, 0.0002, 60, "adam", 0.0, (), 0),
    "conv4-cifar10": (25_000, 0.0003, 60, "adam", 0.0, (), 0),
    "conv6-cifar10": (30_000, 0.0003, 60, "adam", 0.0, (), 0),
    "resnet20-cifar10-high": (30_000, 0.1, 128, "sgd", 0.0001, (20_000, 25_000), 0),
    "resnet20-cifar10-low": (30_000, 0.01, 128, "sgd", 0.0001, (20_000, 25_000), 0),
    "resnet20-cifar10-warmup": (30_000, 0.03, 128, "sgd", 0.0001, (20_000, 25_000), 20_000),
    "vgg19-cifar10-high": (112_480, 0.1, 64, "sgd", 0.0001, (56_240, 84_360), 0),
    "vgg19-cifar10-low": (112_480, 0.01, 64, "sgd", 0.0001, (56_240, 84_360), 0),
    "vgg19-cifar10-warmup": (112_480, 0.1, 64, "sgd", 0.0001, (56_240, 84_360), 10_000),
    "conv2-cifar10-dropout": (60_000, 0.0003, 60, "adam", 0.0, (), 0),
    "conv4-cifar10-dropout": (75_000, 0.0002, 60, "adam", 0.0, (), 0),
    "conv6-cifar10-dropout": (90_000, 0.0002, 60, "adam", 0.0, (), 0),
}


def spec_of(name: str) -> SearchSpec:
    return PRESETS[name]().spec


def tensors_of(spec: SearchSpec) -> tuple[TensorSpec, ...]:
    return prunable(architecture(spec.model, DATASETS[spec.dataset.name].shape, 10))


def hidden_weights(name: str) -> int:
    first, second = map(int, name.split("-")[-2:])
    return 784 * first + first * second + second * 10


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_whole_submission_under_its_own_name(name: str) -> None:
    submission = PRESETS[name]()
    submission.spec.check()
    assert submission.name == name
    assert list(unsupported(submission.spec)) == []
    assert Submission.model_validate(submission.model_dump(mode="json")) == submission
    first_line = (PRESETS[name].__doc__ or "").partition("\n")[0]
    assert first_line.endswith(".")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_networks_weights(name: str) -> None:
    total = sum(t.size for t in tensors_of(spec_of(name)))
    wanted = hidden_weights(name) if "-hidden-" in name else WEIGHTS["-".join(name.split("-")[:2])]
    assert total == wanted


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_the_ladder_of_its_fractions_or_densities(name: str) -> None:
    spec = spec_of(name)
    tensors = architecture(spec.model, DATASETS[spec.dataset.name].shape, 10)
    kept = density_ladder(tensors, spec.prune, spec.prune.levels + 1, spec.method)
    assert list(kept) == ladder_by_hand(spec)
    assert all(later < earlier for earlier, later in itertools.pairwise(kept))


def ladder_by_hand(spec: SearchSpec) -> list[int]:
    """Kept weights per level: every group loses round(p n) of its n survivors, or the density says it."""
    raw: dict[str, Any] = spec.prune.model_dump()
    tensors = tensors_of(spec)
    total = sum(t.size for t in tensors)
    if raw["densities"]:
        return [total, *(rounded(Fraction(str(density)) * total) for density in raw["densities"])]
    output = raw["fraction"] / 2 if raw["scope"] == "layer" else raw["fraction"]
    own = {"conv": raw["conv_fraction"], "fc": None, "output": raw["output_fraction"]}
    fallback = {"conv": raw["fraction"], "fc": raw["fraction"], "output": output}
    groups: dict[str, list[Any]] = {}
    for tensor in tensors:
        fraction = fallback[tensor.kind] if own[tensor.kind] is None else own[tensor.kind]
        whole = fraction == 0 or tensor.name.removesuffix(".weight") in raw["exclude"]
        group = "whole" if whole else "pool" if raw["scope"] == "global" else tensor.name
        size, _ = groups.get(group, [0, 0])
        groups[group] = [size + tensor.size, Fraction(0) if whole else Fraction(str(fraction))]
    ladder = []
    for _ in range(spec.prune.levels + 1):
        ladder.append(sum(size for size, _ in groups.values()))
        for entry in groups.values():
            entry[0] -= rounded(entry[0] * entry[1])
    return ladder


def rounded(value: Fraction) -> int:
    """Half to even, exactly."""
    return round(value)


@pytest.mark.parametrize("name", LINEAGES)
def test_the_expansion_has_as_many_lineages_as_settings_replicates_and_draws(name: str) -> None:
    spec = spec_of(name)
    planned = expand(
        spec, tenant="local", dataset=DATASETS[spec.dataset.name], resources=Resources(), device_class="cpu"
    )
    assert len(planned) == LINEAGES[name] == spec.num_lineages
    assert len({lineage.key for lineage in planned}) == len(planned)
    assert sum(lineage.num_levels for lineage in planned) == spec.num_levels


@pytest.mark.parametrize("name", FIGURE_2)
def test_the_papers_recipes_have_the_papers_numbers(name: str) -> None:
    train = spec_of(name).train
    found = (train.steps, train.lr, train.batch_size, train.optimizer, train.weight_decay, train.milestones)
    assert (*found, train.warmup_steps) == FIGURE_2[name]
    deep = train.optimizer == "sgd"
    assert (train.momentum, train.flip, train.crop_padding) == ((0.9, True, 4) if deep else (0.0, False, 0))
    assert spec_of(name).model.dropout == (0.5 if name.endswith("-dropout") else 0)


@pytest.mark.parametrize(
    ("name", "conv", "fc", "output", "scope"),
    [
        ("lenet-mnist", 0.2, 0.2, 0.1, "layer"),
        ("conv2-cifar10", 0.1, 0.2, 0.1, "layer"),
        ("conv6-cifar10", 0.15, 0.2, 0.1, "layer"),
        ("conv6-cifar10-fc-only", 0.0, 0.2, 0.1, "layer"),
        ("conv6-cifar10-conv-only", 0.15, 0.2, 0.0, "layer"),
        ("resnet20-cifar10-low", 0.2, 0.2, 0.0, "global"),
        ("vgg19-cifar10-low", 0.2, 0.2, 0.0, "global"),
        ("vgg19-cifar10-layerwise", 0.2, 0.2, 0.0, "layer"),
    ],
)
def test_the_papers_fractions(name: str, conv: float, fc: float, output: float, scope: str) -> None:
    prune = spec_of(name).prune
    assert [prune.fraction_of_kind(kind) for kind in ("conv", "fc", "output")] == [conv, fc, output]
    assert prune.scope == scope


def test_pruning_one_kind_only_keeps_every_weight_of_the_other() -> None:
    for name, kind in (("conv4-cifar10-conv-only", "conv"), ("conv4-cifar10-fc-only", "fc")):
        spec = spec_of(name)
        tensors = architecture(spec.model, (3, 32, 32), 10)
        last = density_ladder(tensors, spec.prune, 21)[-1]
        whole = sum(t.size for t in prunable(tensors) if (t.kind == "conv") != (kind == "conv"))
        assert whole < last < whole + sum(t.size for t in prunable(tensors)) * 0.04


def test_pruning_rates_lead_to_about_the_same_sparsity() -> None:
    kept = [ladder_by_hand(spec_of(f"lenet-mnist-fraction-{rate}"))[-1] / 266_200 for rate in (10, 20, 40, 60)]
    assert all(math.isclose(density, 0.02, abs_tol=0.01) for density in kept)


def test_what_carries_its_training_is_asked_for_by_mode_and_has_the_ticket_as_control() -> None:
    for name, mode in (("lenet-mnist-continued", "lr"), ("resnet20-cifar10-fine-tune", "fine_tune")):
        spec = spec_of(name)
        assert (spec.rewind.mode, spec.rewind.step) == (mode, 0)
        assert [t.name for t in spec.treatments] == ["reset"]

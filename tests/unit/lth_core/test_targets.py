"""What every level keeps under every method, counted before training, and what is refused because it cannot be kept."""

from __future__ import annotations

import pytest

from lth_core.architecture import architecture
from lth_core.cells import SpecError
from lth_core.layer_densities import densities
from lth_core.model_spec import ModelSpec
from lth_core.names import AT_INIT
from lth_core.parts import Prune
from lth_core.pruning import density_ladder
from lth_core.targets import kept_at, refuse_impossible, smallest_density, targets

LENET = architecture(ModelSpec(name="lenet_300_100"), (1, 28, 28), 10)
LAYERS = [tensor for tensor in LENET if tensor.prunable]
TOTAL = 266_200
SINGLE_STEP = sorted(AT_INIT | {"one_shot", "gradual"})


def refuse(prune: Prune, method="one_shot", model: ModelSpec | None = None, tensors=LENET) -> SpecError:
    with pytest.raises(SpecError) as error:
        refuse_impossible(model or ModelSpec(name="lenet_300_100"), tensors, prune, method)
    return error.value


@pytest.mark.parametrize("method", SINGLE_STEP)
def test_without_densities_a_single_step_reaches_the_counts_of_the_ladder(method):
    assert kept_at(LENET, Prune(), method, 7) == [
        (("fc1.weight",), 49325),
        (("fc2.weight",), 6291),
        (("out.weight",), 478),
    ]
    assert density_ladder(LENET, Prune(), 8, method) == density_ladder(LENET, Prune(), 8)


def test_level_0_keeps_everything_under_every_method():
    for method in (*SINGLE_STEP, "imp", "transfer"):
        assert sum(kept for _, kept in kept_at(LENET, Prune(densities=(0.5,)), method, 0)) == TOTAL


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("exclude", [(), ("out",), ("fc1.weight",)])
@pytest.mark.parametrize("density", [0.9, 0.8999999, 0.9217])
def test_a_named_density_is_that_of_the_whole_network(scope, exclude, density):
    prune = Prune(densities=(density,), scope=scope, exclude=exclude)
    assert sum(kept for _, kept in kept_at(LENET, prune, "one_shot", 1)) == round(density * TOTAL)
    assert density_ladder(LENET, prune, 2, "snip") == (TOTAL, round(density * TOTAL))


def test_under_layer_scope_all_pruned_layers_have_one_density():
    prune = Prune(densities=(0.5, 0.1234), exclude=("out",))
    share = (round(0.1234 * TOTAL) - 1000) / (TOTAL - 1000)
    (_, first), (_, second), (names, whole) = kept_at(LENET, prune, "one_shot", 2)
    assert (names, whole) == (("out.weight",), 1000)
    assert abs(first - share * 235_200) < 1
    assert abs(second - share * 30_000) < 1


def test_under_global_scope_one_group_has_all_but_what_stays_whole():
    prune = Prune(densities=(0.1,), scope="global", output_fraction=0.0)
    assert kept_at(LENET, prune, "grasp", 1) == [
        (("fc1.weight", "fc2.weight"), 26_620 - 1000),
        (("out.weight",), 1000),
    ]


def test_erk_counts_are_its_densities_in_whole_weights():
    prune = Prune(densities=(0.1,), layer_densities="erk")
    counts = [kept for _, kept in kept_at(LENET, prune, "random_at_init", 1)]
    assert counts == [18714, 6906, 1000]
    wanted = densities("erk", LAYERS, 26_620)
    assert all(abs(c - d * t.size) < 1 for c, d, t in zip(counts, wanted, LAYERS, strict=True))


def test_a_transferred_ticket_has_counts_of_its_own():
    with pytest.raises(ValueError, match="its own mask"):
        targets(LENET, Prune(levels=1), "transfer", 1)


def test_a_level_without_a_density_is_an_error():
    with pytest.raises(ValueError, match="level must be >= 0 and <= 2, got 3"):
        targets(LENET, Prune(densities=(0.5, 0.1)), "snip", 3)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_smallest_density_leaves_one_weight_beside_the_whole_layers_and_less_is_refused(scope):
    prune = Prune(exclude=("fc2", "out"), scope=scope)
    smallest = smallest_density(LENET, prune)
    assert smallest == 31_001 / TOTAL
    possible = Prune(exclude=prune.exclude, scope=scope, densities=(0.5, smallest))
    refuse_impossible(ModelSpec(name="lenet_300_100"), LENET, possible, "one_shot")
    assert kept_at(LENET, possible, "one_shot", 2)[0] == (("fc1.weight",), 1)
    error = refuse(Prune(exclude=prune.exclude, scope=scope, densities=(0.5, 0.1164)))
    assert error.pointer == "/prune/densities/1"
    assert f">= {smallest:.6g}" in error.detail
    assert "fc2.weight, out.weight" in error.detail
    assert "0.1164" in error.detail


def test_where_nothing_may_be_pruned_no_density_below_1_is_possible():
    prune = Prune(exclude=("fc1", "fc2", "out"), densities=(0.999999,))
    assert smallest_density(LENET, prune) == 1
    assert refuse(prune).pointer == "/prune/densities/0"


def test_densities_of_layers_leave_no_room_for_a_global_ranking():
    error = refuse(Prune(densities=(0.1,), layer_densities="erk", scope="global"), "random_at_init")
    assert error.pointer == "/prune/scope"
    assert "must be layer" in error.detail


def test_gradual_pruning_cannot_begin_sparser_than_its_first_level_ends():
    error = refuse(Prune(initial_sparsity=0.21), "gradual")
    assert error.pointer == "/prune/initial_sparsity"
    assert "<= 0.199624" in error.detail
    refuse_impossible(ModelSpec(name="lenet_300_100"), LENET, Prune(initial_sparsity=0.199), "gradual")


@pytest.mark.parametrize("arch", ["vit_b_16", "convnext_tiny", "efficientnet_b0", "regnet_y_400mf", "mobilenet_v2"])
def test_synflow_is_refused_where_absolute_values_do_not_make_the_network_positive(arch):
    error = refuse(Prune(), "synflow", ModelSpec(name="torchvision", arch=arch))
    assert error.pointer == "/method"
    assert arch in error.detail
    assert "resnet" in error.detail


@pytest.mark.parametrize(
    "arch", ["resnet50", "vgg16_bn", "wide_resnet50_2", "densenet121", "regnet_x_400mf", "googlenet"]
)
def test_synflow_takes_networks_of_convolutions_batch_norm_and_relu(arch):
    refuse_impossible(ModelSpec(name="torchvision", arch=arch), LENET, Prune(), "synflow")


def test_other_methods_take_any_network():
    for method in ("snip", "grasp", "imp", "one_shot", "magnitude_at_init"):
        refuse_impossible(ModelSpec(name="torchvision", arch="vit_b_16"), LENET, Prune(), method)

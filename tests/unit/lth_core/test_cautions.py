"""What a reader of the verdicts is told: every weakness by one sentence, and none where there is none."""

from __future__ import annotations

import pytest

from lth_core.cautions import must_lose
from lth_core.expansion import WINNING_TICKET
from lth_core.results import search_results
from tests.support.made_results import committed, core, planned
from tests.support.tiny import tiny_lineage

DENSITIES = (1.0, 0.4, 0.2)


def warnings(spec, lineages, cores):
    return search_results(spec, lineages, cores)["warnings"]


def alter(cores, lineages, treatment, level, **changes):
    """Change the metrics, or drop the level if nothing is named, of every lineage of a treatment."""
    for lineage in lineages:
        if lineage.spec.treatment == treatment:
            levels = cores[lineage.key_of_level(level)]
            if changes:
                levels[level]["metrics"].update(changes)
            else:
                levels.pop(level, None)


def losing(**more):
    """A search without any weakness: three replicates, converged, every control clearly worse."""
    spec, lineages = planned(treatments=["random_reinit", "shuffled_mask"], **more)
    cores = committed(lineages)
    for level in (1, 2):
        alter(cores, lineages, "shuffled_mask", level, test_accuracy=0.5)
    return spec, lineages, cores


def test_a_search_without_weakness_has_no_warning():
    assert warnings(*losing()) == []


@pytest.mark.parametrize(
    ("num", "sentence"),
    [
        (1, "one replicate: nothing is certified, and paper_point compares single trainings"),
        (2, "2 replicates: bounds need at least 3, so nothing is certified"),
    ],
)
def test_too_few_replicates_are_named(num, sentence):
    assert warnings(*losing(replicates=num)) == [sentence]


def test_levels_that_lost_replicates_are_named():
    spec, lineages, cores = losing()
    del cores[lineages[0].key][2]
    assert warnings(spec, lineages, cores) == [
        "level 2 (density 0.2): fewer than 3 replicates could be paired, so nothing is certified",
        "replicate 0 has level 1 of 2 as its last",
    ]


def test_trainings_that_have_not_converged_are_named():
    spec, lineages, cores = losing()
    alter(cores, lineages, WINNING_TICKET, 0, converged=False)
    cores[lineages[0].key][2]["metrics"]["converged"] = False
    dense, ticket = warnings(spec, lineages, cores)
    assert dense.startswith("the dense network is not converged (replicates 0, 1, 2): validation loss was lowest")
    assert ticket.startswith("the pruned network is not converged at level 2 (density 0.2) (replicate 0)")


def test_where_the_rate_drops_the_lowest_loss_may_be_the_last():
    spec, lineages, cores = losing(train={"steps": 100, "milestones": [50]})
    for level in (1, 2):
        alter(cores, lineages, "shuffled_mask", level, end_test_accuracy=0.5)
    alter(cores, lineages, WINNING_TICKET, 0, converged=False)
    assert warnings(spec, lineages, cores) == []


def test_a_collapsed_level_is_named_and_is_not_called_an_early_end():
    spec, lineages, cores = losing()
    cores[lineages[0].key][1]["collapsed"] = True
    del cores[lineages[0].key][2]
    found = warnings(spec, lineages, cores)
    assert "level 1 (density 0.4) is collapsed (replicate 0): a layer has no survivor" in found
    assert not any("as its last" in sentence for sentence in found)


def test_a_control_that_did_not_run_is_named():
    spec, lineages, cores = losing()
    chain = next(lineage for lineage in lineages if lineage.spec.treatment == "shuffled_mask")
    del cores[chain.key]
    assert "shuffled_mask of replicate 0 is missing at levels 1-2 (density 0.4 to 0.2)" in warnings(
        spec, lineages, cores
    )


def test_one_missing_draw_of_several_is_named():
    spec, lineages = planned()
    cores = committed(lineages)
    second = next(lineage for lineage in lineages if lineage.spec.repeat == 1)
    del cores[second.key][2]
    assert "random_reinit of replicate 0 is missing at level 2 (density 0.2)" in warnings(spec, lineages, cores)


def test_a_search_without_controls_says_what_is_not_shown():
    spec, lineages = planned(treatments=[])
    assert warnings(spec, lineages, committed(lineages)) == [
        "no control was run: nothing shows that the initialisation or the mask matters"
    ]


def test_a_control_that_does_not_lose_where_it_must_is_named():
    spec, lineages, cores = losing()
    for level in (1, 2):
        alter(cores, lineages, "random_reinit", level, test_accuracy=0.92)
    must, need_not = warnings(spec, lineages, cores)
    assert must.startswith("random_reinit does not lose to the ticket at level 2 (density 0.2), but must on mlp at")
    assert need_not == (
        "random_reinit does not lose to the ticket at level 1 (density 0.4): nothing shows that the initialisation "
        "matters"
    )


def test_above_the_largest_density_no_control_need_lose():
    spec, lineages, cores = losing(rule={"max_density": 0.3})
    for level in (1, 2):
        alter(cores, lineages, "random_reinit", level, test_accuracy=0.92)
    assert len(warnings(spec, lineages, cores)) == 1


@pytest.mark.parametrize(("accuracy", "num"), [(0.9, 1), (0.99, 2)])
def test_with_one_replicate_a_control_is_named_if_it_is_not_worse(accuracy, num):
    spec, lineages, cores = losing(replicates=1)
    alter(cores, lineages, "random_reinit", 2, test_accuracy=accuracy)
    assert len(warnings(spec, lineages, cores)) == num


@pytest.mark.parametrize("treatment", ["noise", "frozen", "identity"])
def test_controls_that_are_not_meant_to_lose_are_not_named(treatment):
    spec, lineages = planned(treatments=[treatment])
    assert warnings(spec, lineages, same_as_ticket(lineages)) == []


def test_an_identity_that_differs_from_its_parent_is_named():
    spec, lineages = planned(treatments=["identity"])
    cores = same_as_ticket(lineages)
    copy = next(lineage for lineage in lineages if lineage.spec.treatment == "identity")
    cores[copy.key][2]["digests"]["final"] = "other"
    assert warnings(spec, lineages, cores) == [
        "identity differs from its parent at level 2 (density 0.2) (replicate 0): "
        "the computation is not reproducible there"
    ]


def same_as_ticket(lineages):
    cores = {}
    for lineage in lineages:
        for level in range(lineage.first_level, 3):
            made = core(DENSITIES[level], 0.9 + 0.01 * bool(level))
            made["digests"] = {"final": f"{lineage.spec.replicate}:{level}"}
            cores.setdefault(lineage.key_of_level(level), {})[level] = made
    return cores


def test_the_sentences_of_a_grid_name_their_setting():
    spec, lineages = planned(treatments=[], prune={"levels": 2, "fraction": {"grid": [0.6, 0.5]}})
    found = warnings(spec, lineages, committed(lineages))
    assert [sentence.partition(": ")[0] for sentence in found] == [
        "setting 0 (prune.fraction=0.6)",
        "setting 1 (prune.fraction=0.5)",
    ]


@pytest.mark.parametrize(
    ("model", "treatment", "density", "must"),
    [
        ("lenet_300_100", "random_reinit", 0.2107, True),
        ("lenet_300_100", "random_reinit", 0.2632, False),
        ("lenet_300_100", "random_sparse", 0.2, True),
        ("lenet_300_100", "magnitude_at_init", 0.2, True),
        ("lenet_300_100", "noise", 0.01, False),
        ("conv_2", "random_reinit", 0.0881, True),
        ("conv_2", "random_reinit", 0.2107, False),
        ("conv_2", "random_sparse", 0.0881, False),
        ("vgg_19", "random_reinit", 0.01, False),
    ],
)
def test_where_the_literature_says_that_a_control_loses(model, treatment, density, must):
    lineage = tiny_lineage()
    lineage = lineage.model_copy(update={"model": lineage.model.model_copy(update={"name": model})})
    assert must_lose(lineage, treatment, density) is must


@pytest.mark.parametrize(
    "change",
    [{"method": "snip"}, {"method": "synflow"}, {"rewind": {"mode": "lr"}}, {"prune": {"criterion": "random"}}],
)
def test_no_control_must_lose_to_what_is_no_magnitude_ticket(change):
    lineage = tiny_lineage()
    for name, value in change.items():
        part = getattr(lineage, name)
        changed = part.model_copy(update=value) if isinstance(value, dict) else value
        lineage = lineage.model_copy(update={name: changed})
    assert not must_lose(lineage, "random_reinit", 0.1)

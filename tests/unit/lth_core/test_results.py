"""Results of a whole search from its committed cores."""

from __future__ import annotations

import pytest

from lth_core.canonical import canonical_json
from lth_core.expansion import WINNING_TICKET, DatasetInfo, expand
from lth_core.parts import Resources
from lth_core.results import search_results
from lth_core.spec import SearchSpec

INFO = DatasetInfo(name="tiny", digest="0" * 64, shape=(1, 4, 4), num_classes=3, num_train=120, num_test=40)


def planned(**more):
    spec = SearchSpec.model_validate(
        {
            "model": {"name": "mlp", "sizes": [16, 8, 3]},
            "dataset": {"name": "tiny"},
            "prune": {"levels": 2, "fraction": 0.6},
            "treatments": [{"name": "random_reinit", "repeats": 2}, "shuffled_mask"],
            **more,
        }
    )
    return spec, expand(spec, tenant="local", dataset=INFO, resources=Resources(), device_class="cpu")


def core(density, accuracy, step=100, converged=True, val=None):
    metrics = {"early_stop_step": step, "converged": converged}
    for name in ("test_accuracy", "end_test_accuracy"):
        metrics[name] = accuracy
    for name in ("val_accuracy", "end_val_accuracy"):
        metrics[name] = accuracy if val is None else val
    return {"density": density, "kept": round(100 * density), "prunable": 100, "metrics": metrics}


def committed(lineages, *, gain=(0.0, 0.01, 0.01), val_gain=None, densities=(1.0, 0.4, 0.2)):
    """Cores of all lineages: tickets better than dense by `gain`, random_reinit 3 points worse, shuffled equal."""
    cores = {}
    for lineage in lineages:
        for level in range(3):
            base = 0.9 + 0.001 * lineage.spec.replicate
            extra = {WINNING_TICKET: 0.0, "random_reinit": -0.03 + 0.01 * lineage.spec.repeat, "shuffled_mask": 0.0}
            if level >= lineage.first_level:
                drop = extra[lineage.spec.treatment]
                made = core(
                    densities[level],
                    base + gain[level] + drop + 0.0001 * level * lineage.spec.replicate,
                    val=base + (val_gain or gain)[level] + 0.0001 * level * lineage.spec.replicate,
                )
                cores.setdefault(lineage.key_of_level(level), {})[level] = made
    return cores


def test_every_level_of_every_setting_is_reported_with_its_verdicts():
    spec, lineages = planned(prune={"levels": 2, "fraction": {"grid": [0.6, 0.5]}})
    results = search_results(spec, lineages, committed(lineages))
    assert [(level["setting"], level["level"]) for level in results["levels"]] == [
        (s, n) for s in (0, 1) for n in range(3)
    ]
    assert [level["cell"] for level in results["levels"]][::3] == [{"prune.fraction": 0.6}, {"prune.fraction": 0.5}]
    dense, first, _ = results["levels"][:3]
    assert dense["verdicts"] == {}
    assert list(dense["treatments"]) == ["dense"]
    assert first["verdicts"]["certified"] == "yes"
    assert first["verdicts"]["initialisation_matters"] == "yes"
    assert first["verdicts"]["mask_matters"] == "inconclusive"
    assert first["n"] == 3
    assert "unadjusted" in results["bounds"]
    canonical_json(results)


def test_figures_are_over_replicates_and_draws_and_pairs_over_replicates():
    spec, lineages = planned()
    level = search_results(spec, lineages, committed(lineages))["levels"][1]
    reinit = level["treatments"]["random_reinit"]
    assert reinit["n"] == 6
    assert reinit["test_accuracy"]["min"] == pytest.approx(0.88)
    assert level["treatments"]["winning_ticket"]["test_accuracy"]["mean"] == pytest.approx(0.9111)
    difference = level["paired"]["random_reinit"]["accuracy_difference"]
    assert difference["n"] == 3
    assert difference["mean"] == pytest.approx(0.025)
    assert level["paired"]["random_reinit"]["sign_p"] == 0.125
    assert level["p"] <= level["p_holm"] <= 2 * level["p"] + 1e-12


def test_the_claim_is_the_sparsest_level_that_passes_on_validation_judged_on_test():
    spec, lineages = planned()
    claim = search_results(spec, lineages, committed(lineages))["claim"]
    assert (claim["level"], claim["density"], claim["verdict"], claim["rule"]) == (2, 0.2, "yes", "certified")

    only_first = committed(lineages, gain=(0.0, 0.01, 0.01), val_gain=(0.0, 0.01, -0.05))
    assert search_results(spec, lineages, only_first)["claim"]["level"] == 1

    lucky_on_validation = committed(lineages, gain=(0.0, 0.01, -0.05), val_gain=(0.0, 0.01, 0.01))
    claim = search_results(spec, lineages, lucky_on_validation)["claim"]
    assert (claim["level"], claim["verdict"]) == (2, "no")


def test_no_claim_is_made_above_the_largest_density_or_if_nothing_passes():
    spec, lineages = planned()
    assert search_results(spec, lineages, committed(lineages, densities=(1.0, 0.8, 0.6)))["claim"] is None
    worse = search_results(spec, lineages, committed(lineages, gain=(0.0, -0.05, -0.05)))
    assert worse["claim"] is None
    assert worse["levels"][1]["verdicts"]["lost"] == "yes"


def test_the_best_ticket_is_chosen_on_validation_among_those_of_the_claim():
    spec, lineages = planned()
    results = search_results(spec, lineages, committed(lineages))
    chains = [lineage.key for lineage in lineages if lineage.source_key is None]
    assert results["best"] == {"key": chains[2], "level": 2}
    assert search_results(spec, lineages, {})["best"] is None


def test_a_search_that_ended_early_is_reported_as_far_as_it_came():
    spec, lineages = planned()
    cores = committed(lineages)
    del cores[lineages[0].dense_key]
    for key in [lineage.key for lineage in lineages if lineage.spec.treatment == "random_reinit"]:
        del cores[key]
    first = search_results(spec, lineages, cores)["levels"][1]
    assert first["n"] == 2
    assert first["verdicts"]["certified"] == "inconclusive"
    assert first["verdicts"]["initialisation_matters"] == "inconclusive"
    assert search_results(spec, lineages, {})["levels"] == []


def test_one_replicate_is_flagged():
    spec, lineages = planned(replicates=1)
    results = search_results(spec, lineages, committed(lineages))
    assert results["levels"][1]["single_seed"] is True
    assert results["claim"]["rule"] == "paper_point"


def test_nets_whose_rate_drops_are_compared_at_the_end_and_not_by_speed():
    spec, lineages = planned(train={"steps": 100, "milestones": [50]})
    cores = committed(lineages)
    for levels in cores.values():
        for level, found in levels.items():
            found["metrics"]["end_test_accuracy"] = 0.5 if level else 0.9
    level = search_results(spec, lineages, cores)["levels"][1]
    assert level["speed_rule"] == "off: fixed steps"
    assert level["verdicts"]["lost"] == "yes"

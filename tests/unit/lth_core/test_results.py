"""Results of a whole search from its committed cores."""

from __future__ import annotations

import pytest

from lth_core.canonical import canonical_json, sha256_hex
from lth_core.results import search_results
from tests.support.made_results import committed, core, planned

FIRST_RELEASE = "f2181a6281d1157ffdc216f579754195cab22be324a5c53211c46ec8a789ee45"
"""Digest of made results by the code of the first release."""


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


def test_results_of_the_first_release_keep_every_byte_of_their_members():
    spec, lineages = planned(rewind={"step": 7}, prune={"levels": 2, "fraction": {"grid": [0.6, 0.5]}})
    results = search_results(spec, lineages, committed(lineages))
    results.pop("warnings")
    for part in (*results["levels"], *results["claims"], results["claim"]):
        part.pop("label", None)
    assert sha256_hex(canonical_json(results)) == FIRST_RELEASE


def test_every_level_and_claim_says_what_its_network_may_be_called():
    for rewind, label in (({}, "winning"), ({"step": 7}, "matching"), ({"mode": "lr"}, "trained")):
        spec, lineages = planned(rewind=rewind)
        results = search_results(spec, lineages, committed(lineages))
        assert [level.get("label") for level in results["levels"]] == [None, label, label]
        assert results["claim"]["label"] == label


def test_a_search_of_trained_networks_claims_a_match_of_accuracy_and_no_ticket():
    spec, lineages = planned(rewind={"mode": "lr"})
    cores = committed(lineages)
    for level in (1, 2):
        for lineage in lineages:
            cores[lineage.key][level]["metrics"]["early_stop_step"] = 9000
    results = search_results(spec, lineages, cores)
    assert set(results["levels"][1]["verdicts"]) == {"trained_matches", "lost", "not_converged"}
    assert (results["claim"]["rule"], results["claim"]["verdict"]) == ("trained_matches", "yes")

    one = planned(rewind={"mode": "lr"}, replicates=1)
    assert search_results(*one, committed(one[1]))["claim"] is None


def test_treatments_with_other_options_are_treatments_of_their_own():
    noises = [{"name": "noise", "sigma": sigma, "repeats": 2} for sigma in (0.5, 3.0)]
    spec, lineages = planned(treatments=noises)
    cores = {}
    for lineage in lineages:
        mean = {"noise[sigma=3.0]": 0.7, "noise[sigma=0.5]": 0.8}.get(lineage.spec.treatment, 0.9)
        for level in range(lineage.first_level, 3):
            made = core((1.0, 0.4, 0.2)[level], mean + 0.1 * lineage.spec.repeat)
            cores.setdefault(lineage.key_of_level(level), {})[level] = made
    level = search_results(spec, lineages, cores)["levels"][1]
    assert level["treatments"]["noise[sigma=3.0]"]["n"] == 6
    difference = level["paired"]["noise[sigma=3.0]"]["accuracy_difference"]
    assert (difference["n"], difference["mean"]) == (3, pytest.approx(0.15))
    assert level["paired"]["noise[sigma=0.5]"]["accuracy_difference"]["mean"] == pytest.approx(0.05)


def test_a_control_with_a_dense_network_of_its_own_does_not_replace_the_dense_one():
    spec, lineages = planned(treatments=["reordered"], keep="all")
    cores = {}
    for lineage in lineages:
        accuracy = 0.1 if lineage.spec.treatment == "reordered" else 0.9
        for level in range(lineage.first_level, 3):
            cores.setdefault(lineage.key_of_level(level), {})[level] = core((1.0, 0.4, 0.2)[level], accuracy)
    dense, first, _ = search_results(spec, lineages, cores)["levels"]
    assert dense["treatments"]["dense"]["test_accuracy"]["max"] == dense["treatments"]["dense"]["test_accuracy"]["min"]
    assert dense["treatments"]["reordered"]["test_accuracy"]["mean"] == pytest.approx(0.1)
    assert dense["n"] == 3
    assert first["paired"]["dense"]["accuracy_difference"]["mean"] == pytest.approx(0.0)


def test_nets_whose_rate_falls_by_the_cosine_are_compared_at_the_end():
    spec, lineages = planned(train={"steps": 100, "schedule": "cosine"})
    assert search_results(spec, lineages, committed(lineages))["levels"][1]["speed_rule"] == "off: fixed steps"


@pytest.mark.parametrize("replicates", [1, 2])
def test_fewer_than_three_replicates_never_certify_however_good_they_are(replicates):
    spec, lineages = planned(replicates=replicates)
    results = search_results(spec, lineages, committed(lineages, gain=(0.0, 0.09, 0.09)))
    assert {level["verdicts"].get("certified", "inconclusive") for level in results["levels"]} == {"inconclusive"}
    assert results["claim"]["rule"] == "paper_point"


def test_a_level_that_only_test_accuracy_favours_is_not_claimed():
    spec, lineages = planned()
    lucky = committed(lineages, gain=(0.0, 0.01, 0.05), val_gain=(0.0, -0.05, -0.05))
    results = search_results(spec, lineages, lucky)
    assert results["levels"][2]["verdicts"]["certified"] == "yes"
    assert results["claim"] is None

"""Numbers are written as a paper would write them."""

from __future__ import annotations

import pytest

from workers.reporting import words


def test_differences_are_points_with_a_sign_and_nothing_is_minus_zero() -> None:
    assert words.points(0.00214) == "+0.21"
    assert words.points(-0.00306) == "−0.31"
    assert words.points(-0.00001) == words.points(0.00004) == "0.00"
    assert words.points(None) == "–"


def test_accuracies_have_four_decimals_and_small_densities_three_digits() -> None:
    assert words.accuracy(0.98208) == "0.9821"
    assert words.density(0.21072) == "0.2107"
    assert words.density(0.0014723) == "0.00147"


def test_a_spread_shows_its_ends_only_where_they_differ() -> None:
    assert words.spread({"mean": 0.5, "min": 0.25, "max": 0.75}, words.accuracy) == "0.5000 (0.2500–0.7500)"
    assert words.spread({"mean": 0.5, "min": 0.5, "max": 0.5}, words.accuracy) == "0.5000"


def test_bounds_of_one_replicate_are_not_written() -> None:
    assert words.bounds({"mean": 0.01, "lower": None, "upper": None}, words.points) == "+1.00"
    assert words.bounds({"mean": 0.01, "lower": 0.0, "upper": 0.02}, words.points) == "+1.00 [0.00, +2.00]"


def test_runs_of_levels_are_joined() -> None:
    assert words.numbers([1, 2, 3, 5, 7, 8]) == "1–3, 5, 7–8"
    assert words.numbers([]) == ""


@pytest.mark.parametrize("treatment", ["winning_ticket", "random_reinit"])
def test_only_the_main_treatment_of_trained_outputs_has_another_name(treatment: str) -> None:
    assert words.treatment_key(treatment, "winning") == treatment
    assert words.treatment_key(treatment, "matching") == treatment
    expected = "trained_network" if treatment == "winning_ticket" else treatment
    assert words.treatment_key(treatment, "trained") == expected


def test_labels_say_what_an_output_is() -> None:
    assert "winning ticket" in words.label_sentence("winning", 0)
    assert "step 1,000 of the dense training" in words.label_sentence("matching", 1000)
    assert "winning" not in words.label_sentence("trained", 0)

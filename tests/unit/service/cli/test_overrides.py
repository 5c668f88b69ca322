"""`--set` and `--label` on the command line."""

from __future__ import annotations

import pytest

from service.cli.exits import UsageError
from service.cli.overrides import apply, parse, parse_labels

BODY = {"name": "n", "spec": {"train": {"steps": 400}, "replicates": [0, 1]}}


def test_paths_begin_in_the_spec() -> None:
    assert parse("train.steps=6000") == (("spec", "train", "steps"), 6000)
    assert parse("replicates=3") == (("spec", "replicates"), 3)
    assert parse("spec.prune.levels=12") == (("spec", "prune", "levels"), 12)


def test_what_stands_beside_the_spec_is_reached_by_its_name() -> None:
    assert parse("budget.deadline_s=60") == (("budget", "deadline_s"), 60)
    assert parse("priority=high") == (("priority",), "high")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.2", 0.2),
        ("true", True),
        ("null", None),
        ("adam", "adam"),
        ('{"grid": [0.1, 0.2]}', {"grid": [0.1, 0.2]}),
        ("[1, 2]", [1, 2]),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_values_are_json_where_they_are_json_and_text_where_not(text: str, value: object) -> None:
    assert parse(f"train.x={text}")[1] == value


@pytest.mark.parametrize("text", ["train.steps", "=3", "train..steps=3", ".=1"])
def test_what_is_no_assignment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"train\.steps=6000"):
        parse(text)


def test_overrides_make_missing_parts_and_leave_the_original_alone() -> None:
    changed = apply(BODY, ["train.steps=6000", "prune.levels=12", "train.steps=7000"])
    assert changed["spec"] == {"train": {"steps": 7000}, "replicates": [0, 1], "prune": {"levels": 12}}
    assert BODY["spec"] == {"train": {"steps": 400}, "replicates": [0, 1]}


def test_a_path_through_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="'steps' is a single value"):
        apply(BODY, ["train.steps.more=1"])


def test_labels_are_pairs() -> None:
    assert parse_labels(["figure=4", "note=a=b"]) == {"figure": "4", "note": "a=b"}
    with pytest.raises(UsageError, match="name=value"):
        parse_labels(["figure"])

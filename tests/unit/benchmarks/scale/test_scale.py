"""What is made of measurements of the control plane: shares, costs by role, a model and what it foretells."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.scale.autoscaling import Interval, shares
from benchmarks.scale.cases import bodies
from benchmarks.scale.costs import role_of
from benchmarks.scale.model import Model, fit, needs
from lth_core.spec import Submission

PER_LEVEL = {"pool": 0.01, "engine": 0.05, "api": 0.002}


def case(lineages: int, trials: int, searches: int, **more: Any) -> dict[str, Any]:
    """Figures of a service whose costs are known."""
    levels = lineages * 2
    cpu_s = {role: cost * levels for role, cost in PER_LEVEL.items()}
    cpu_s |= {"trial": 0.03 * levels + 2.0 * trials, "driver": 0.02 * levels + 3.0 * searches}
    figures = {"lineages": lineages, "levels": 2, "trials": trials, "searches": searches, "cpu_s": cpu_s}
    return figures | {"first_level_after_s": 6.0, "ideal_s": 10.0} | more


def test_the_model_finds_what_made_the_figures_and_foretells_another_case() -> None:
    model = fit([case(10, 3, 1), case(100, 9, 1), case(1000, 20, 4), case(50, 30, 2)])
    assert model.per_level == pytest.approx({**PER_LEVEL, "trial": 0.03, "driver": 0.02}, abs=1e-6)
    assert model.per_trial["trial"] == pytest.approx(2.0)
    assert model.fixed["driver"] == pytest.approx(3.0)
    unseen = case(400, 12, 2)
    assert model.cpu_s(unseen) == pytest.approx(sum(unseen["cpu_s"].values()))


def test_a_search_takes_what_its_engines_take_until_the_processors_are_used_up() -> None:
    model = Model({"pool": 0.1}, {}, {}, first_level_s=6.0)
    assert model.took_s(case(10, 0, 0), cores=2) == 16.0
    assert model.took_s(case(1000, 0, 0), cores=2) == pytest.approx(100.0)


def test_many_gpus_need_several_services_once_one_process_is_used_up() -> None:
    model = Model({"pool": 0.01, "engine": 0.05, "driver": 0.02}, {}, {}, first_level_s=6.0)
    found = needs(model, gpus=100, slots=10, level_s=5.0)
    assert found["levels_per_s"] == 200
    assert found["central_cores"] == pytest.approx(200 * 0.03)
    assert found["cores_per_gpu"] == pytest.approx(2 * 0.05)
    assert found["services"] == pytest.approx(2.0)
    assert needs(model, gpus=1, slots=1, level_s=5.0)["services"] == 1


def test_too_few_cases_make_no_model() -> None:
    with pytest.raises(ValueError, match="3 measured cases, got 2"):
        fit([case(1, 1, 1), case(2, 1, 1)])


def test_shares_count_the_time_in_slots_while_both_still_wait() -> None:
    levels = [Interval("ada", 0, 10), Interval("ada", 0, 10), Interval("bob", 0, 20), Interval("ada", 10, 20)]
    levels += [Interval("ada", 10, 20), Interval("bob", 20, 30), Interval("ada", 20, 30)]
    found, short_s = shares(levels, num_slots=3)
    assert short_s == 20
    assert found == {"ada": pytest.approx(2 / 3, abs=1e-3), "bob": pytest.approx(1 / 3, abs=1e-3)}


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("/x/python -m service.api.server", "api"),
        ("ray::StandInEngine.train", "engine"),
        ("ray::LineageTrial.step()", "trial"),
        ("/x/ray/core/src/ray/raylet/raylet --raylet_socket_name=/tmp/x", "raylet"),
        ("/x/gcs/gcs_server --log_dir=/tmp/raylet", "gcs"),
        ("ray::DashboardAgent", "ray agents"),
        ("/x/python -u /x/ray/dashboard/agent.py", "ray agents"),
    ],
)
def test_a_process_is_known_by_its_command_line(line: str, role: str) -> None:
    assert role_of(line) == role


def test_the_searches_of_a_case_are_valid_and_hold_every_lineage_once() -> None:
    found = [Submission.model_validate(body) for body in bodies(600, levels=3)]
    lineages = [(one.spec.replicates, len(list(one.spec.settings()))) for one in found]
    assert sum(len(replicates) * num for replicates, num in lineages) == 600
    assert len({replicate for replicates, _ in lineages for replicate in replicates}) == 3 * 50
    assert {one.spec.prune.levels for one in found} == {2}

"""From a specification to its lineages: counts, order, keys and ids."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lth_core.cells import SpecError
from lth_core.expansion import DatasetInfo, PlannedLineage, expand, fits, num_validation
from lth_core.keys import lineage_id, new_search_id, ticket_id, ulid_time
from lth_core.parts import Resources
from lth_core.spec import SearchSpec
from lth_core.treatments import Origin

MNIST = DatasetInfo(
    name="mnist", digest="ab" * 32, shape=(1, 28, 28), num_classes=10, num_train=60_000, num_test=10_000
)
MINIMAL: dict[str, Any] = {"model": {"name": "lenet_300_100"}, "dataset": {"name": "mnist"}}


def plan(tenant: str = "local", threads: int = 1, **parts: Any) -> tuple[PlannedLineage, ...]:
    """Expand a specification for MNIST on a CPU."""
    spec = SearchSpec.model_validate({**MINIMAL, **parts})
    return expand(spec, tenant=tenant, dataset=MNIST, resources=Resources(threads=threads), device_class="cpu")


def test_the_expansion_has_exactly_the_counted_lineages_and_levels() -> None:
    parts: dict[str, Any] = {
        "replicates": 5,
        "prune": {"levels": 20, "fraction": {"grid": [0.2, 0.3]}},
        "treatments": ["random_reinit", {"name": "random_mask", "repeats": 3}],
    }
    lineages = plan(**parts)
    spec = SearchSpec.model_validate({**MINIMAL, **parts})
    assert len(lineages) == spec.num_lineages == 2 * 5 * 5
    assert sum(lineage.num_levels for lineage in lineages) == spec.num_levels
    assert len({lineage.key for lineage in lineages}) == len(lineages)


def test_a_control_names_the_chain_it_takes_masks_from() -> None:
    chain, control = plan(replicates=1)
    assert chain.source_key is None
    assert control.source_key == chain.key
    assert (chain.first_level, control.first_level) == (0, 1)
    assert (chain.num_levels, control.num_levels) == (6, 5)


def test_a_grid_over_pruning_trains_dense_once() -> None:
    lineages = plan(prune={"fraction": {"grid": [0.2, 0.5]}}, replicates=2)
    assert len({lineage.dense_key for lineage in lineages}) == 2
    assert len({lineage.key_of_level(0) for lineage in lineages}) == 2
    assert len({lineage.key_of_level(1) for lineage in lineages}) == len(lineages)


def test_the_key_names_what_was_computed_and_nothing_else() -> None:
    base = plan(replicates=1)[0].key
    assert plan(replicates=1, prune={"levels": 9})[0].key == base
    assert plan(replicates=1, keep="all", rule={"margin": 0.1}, treatments=[])[0].key == base
    assert plan(replicates=1, scheduler={"name": "asha"})[0].key == base
    assert plan(replicates=1, dataset={"name": "mnist", "normalisation": "standard"})[0].key == base
    different = [
        plan("other", replicates=1),
        plan(replicates=1, dataset={"name": "mnist", "normalisation": "unit_norm"}),
        plan(replicates=1, dataset={"name": "mnist", "normalisation": "unit_range"}),
        plan(threads=2, replicates=1),
        plan(replicates=[7]),
        plan(replicates=1, train={"lr": 0.1}),
        plan(replicates=1, rewind={"step": 10}),
        plan(replicates=1, prune={"count_rule": "floor"}),
    ]
    assert len({base, *(lineages[0].key for lineages in different)}) == 1 + len(different)


def test_the_keys_of_stored_results_never_drift() -> None:
    chain, control = plan(replicates=1, prune={"levels": 20})
    assert chain.dense_key == "d37e458b7dfc3f08510f392c2e0af0d220760c92fc9931f53f0e847ad2acec87"
    assert chain.key == "92e344b140195853870c171de0fab33c449dc29783dc2f699fd46a6aa16fb7f7"
    assert control.key == "b39a683a035780d9094e01509387647203672931da71c2b562bfd75d802762aa"


def test_two_cells_of_one_computation_are_refused() -> None:
    with pytest.raises(SpecError, match="one computation"):
        plan(prune={"fraction": 0.2, "conv_fraction": {"grid": [None, 0.2]}})


def test_a_network_that_does_not_fit_the_data_is_refused_with_both_sizes() -> None:
    spec = SearchSpec.model_validate({**MINIMAL, "model": {"name": "mlp", "sizes": [64, 10]}})
    with pytest.raises(SpecError, match="784 features"):
        fits(spec, MNIST)
    excluded = SearchSpec.model_validate({**MINIMAL, "prune": {"exclude": ["fc9"]}})
    with pytest.raises(SpecError, match=r"one of fc1, fc2, out, got 'fc9'"):
        fits(excluded, MNIST)


def test_validation_is_5000_examples_or_a_tenth_of_a_small_set() -> None:
    assert num_validation(60_000) == 5000
    assert num_validation(1437) == 143


def test_ids_are_functions_of_the_record_and_carry_their_time() -> None:
    at = datetime(2026, 11, 22, 9, 10, 11, 42_000, tzinfo=UTC)
    search = new_search_id(at, bytes(10))
    assert ulid_time(search) == at
    assert lineage_id(search, "a" * 64, at) == lineage_id(search, "a" * 64, at)
    assert lineage_id(search, "a" * 64, at) != lineage_id(search, "b" * 64, at)
    assert ticket_id(search, "a" * 64, 1, at) != ticket_id(search, "a" * 64, 2, at)
    assert len(search) == len("srch_") + 26
    assert search < new_search_id(at.replace(year=2027), bytes(10))


def origin(**change: Any) -> Origin:
    """A ticket that was found in LeNet on MNIST."""
    found = {"model": {"name": "lenet_300_100"}, "in_shape": [1, 28, 28], "num_classes": 10}
    return Origin.model_validate({"mask_sha256": "a" * 64, "rewind_sha256": "b" * 64, **found, **change})


TRANSFER: dict[str, Any] = {
    **MINIMAL,
    "method": "transfer",
    "prune": {"levels": 1},
    "init": {"upload": "upl_" + "0" * 26},
}


def test_a_ticket_fits_data_of_its_shape_with_any_number_of_classes() -> None:
    spec = SearchSpec.model_validate(TRANSFER)
    fits(spec, MNIST, origin())
    fits(spec, MNIST, origin(num_classes=47))
    sizes = {"name": "mlp", "sizes": [784, 20, 10]}
    mlp = SearchSpec.model_validate({**TRANSFER, "model": sizes})
    fits(mlp, MNIST, origin(model={"name": "mlp", "sizes": [784, 20, 4]}, num_classes=4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_shape": [1, 32, 32]}, "choose a data set of the ticket's shape"),
        ({"model": {"name": "conv_2"}}, "/model: must be the ticket's"),
        ({"model": {"name": "mlp", "sizes": [784, 30, 10]}}, "only the output layer may differ"),
    ],
)
def test_a_ticket_that_does_not_fit_is_refused_with_what_does(change: dict[str, Any], message: str) -> None:
    body = {**TRANSFER, "model": {"name": "mlp", "sizes": [784, 20, 10]}} if "sizes" in str(change) else TRANSFER
    with pytest.raises(SpecError, match=message):
        fits(SearchSpec.model_validate(body), MNIST, origin(**change))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"method": "one_shot", "prune": {"densities": [0.5, 1e-6]}}, "/prune/densities/1: must be >= "),
        ({"method": "snip", "prune": {"densities": [0.1], "exclude": ["fc1"]}}, "fc1.weight"),
        ({"rewind": {"epoch": 99}}, "/rewind/epoch: must be <= 5"),
        ({"prune": {"exclude": ["conv9"]}}, "/prune/exclude/0: must be one of fc1, fc2, out"),
    ],
)
def test_what_no_computation_can_give_is_refused_at_submission(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        fits(SearchSpec.model_validate({**MINIMAL, **spec}), MNIST)


def test_a_transferred_tickets_origin_is_part_of_its_keys() -> None:
    spec = SearchSpec.model_validate({**TRANSFER, "replicates": 1, "treatments": []})
    options: dict[str, Any] = {"tenant": "local", "dataset": MNIST, "resources": Resources(), "device_class": "cpu"}
    ((one,), (other,)) = (expand(spec, **options, origin=origin(mask_sha256=c * 64)) for c in "ac")
    assert one.dense_key != other.dense_key
    assert one.key != other.key
    assert one.dense_key != plan(replicates=1)[0].dense_key

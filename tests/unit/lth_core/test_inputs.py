"""What every kind of level starts from, and where that lies."""

from __future__ import annotations

from typing import Any

import pytest

from lth_core.expansion import DatasetInfo, PlannedLineage, expand
from lth_core.inputs import Place, inputs_of, needed, needs_origin, parent_of
from lth_core.parts import Resources
from lth_core.spec import SearchSpec
from lth_core.treatments import Origin

INFO = DatasetInfo(name="tiny", digest="0" * 64, shape=(1, 4, 4), num_classes=2, num_train=600, num_test=20)
BODY: dict[str, Any] = {
    "model": {"name": "mlp", "sizes": [16, 8, 2]},
    "dataset": {"name": "tiny"},
    "train": {"steps": 20, "eval_every": 10, "batch_size": 10},
    "prune": {"levels": 3},
    "replicates": [0],
    "keep": "all",
}


def plan(*treatments: str, **spec: Any) -> tuple[PlannedLineage, ...]:
    """The chain, and the controls that are asked for."""
    body = SearchSpec.model_validate({**BODY, "treatments": list(treatments), **spec})
    return expand(body, tenant="local", dataset=INFO, resources=Resources(), device_class="cpu")


def test_the_dense_network_starts_from_nothing_and_follows_nothing() -> None:
    (chain,) = plan(rewind={"step": 5, "optimizer": "restore"})
    assert inputs_of(chain, 0) == {}
    assert parent_of(chain, 0) is None


def test_a_chain_that_iterates_takes_its_first_mask_from_the_dense_weights_and_the_others_from_the_level_before() -> (
    None
):
    (chain,) = plan()
    rewind = Place(chain.dense_key, 0, "rewind")
    assert inputs_of(chain, 1) == {"rewind": rewind, "dense_final": Place(chain.dense_key, 0, "final")}
    assert inputs_of(chain, 2) == {"rewind": rewind, "mask": Place(chain.key, 1, "next_mask")}
    assert parent_of(chain, 1) == (chain.dense_key, 0)
    assert parent_of(chain, 2) == (chain.key, 1)


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("one_shot", {"rewind", "dense_final"}),
        ("snip", {"rewind"}),
        ("synflow", {"rewind"}),
        ("magnitude_at_init", {"rewind"}),
        ("gradual", {"rewind"}),
    ],
)
def test_methods_that_do_not_iterate_need_the_dense_level_alone(method: str, names: set[str]) -> None:
    (chain,) = plan(method=method)
    for level in (1, 2, 3):
        places = inputs_of(chain, level)
        assert places.keys() == names
        assert {(place.key, place.level) for place in places.values()} == {(chain.dense_key, 0)}


@pytest.mark.parametrize("mode", ["lr", "fine_tune"])
def test_chains_that_keep_trained_weights_and_their_identity_take_those_of_the_level_before(mode: str) -> None:
    chain, identity, reset = plan("identity", "reset", rewind={"mode": mode})
    for own in (chain, identity):
        assert inputs_of(own, 1)["carried"] == Place(chain.dense_key, 0, "final")
        assert inputs_of(own, 3)["carried"] == Place(chain.key, 2, "final")
    assert inputs_of(reset, 3).keys() == {"rewind", "mask"}


def test_a_control_takes_its_tickets_mask_and_what_its_scores_need() -> None:
    chain, frozen, inverted = plan("frozen", "invert_scores")
    assert inputs_of(frozen, 2) == {
        "rewind": Place(chain.dense_key, 0, "rewind"),
        "mask": Place(chain.key, 2, "mask"),
    }
    assert inputs_of(inverted, 2)["dense_final"] == Place(chain.dense_key, 0, "final")
    assert "dense_final" not in inputs_of(plan("invert_scores", method="snip")[1], 2)


def test_a_control_of_the_dense_network_follows_it_at_level_0_and_itself_above() -> None:
    chain, reordered = plan("reordered")
    assert inputs_of(reordered, 0) == {"rewind": Place(chain.dense_key, 0, "rewind")}
    assert inputs_of(reordered, 1)["mask"] == Place(chain.key, 1, "mask")
    assert [parent_of(reordered, level) for level in (0, 1, 2)] == [
        (chain.dense_key, 0),
        (reordered.key, 0),
        (reordered.key, 1),
    ]


def test_every_level_that_goes_back_to_a_step_restores_the_optimizer_where_that_is_asked() -> None:
    chain, control = plan("random_reinit", rewind={"step": 5, "optimizer": "restore"})
    for own, level in ((chain, 1), (chain, 2), (control, 1)):
        assert inputs_of(own, level)["optimizer"] == Place(chain.dense_key, 0, "optimizer")


def test_a_transferred_ticket_gives_level_0_its_weights_and_level_1_its_mask() -> None:
    origin = Origin(
        mask_sha256="a" * 64,
        rewind_sha256="b" * 64,
        model=SearchSpec.model_validate(BODY).model,
        in_shape=(1, 4, 4),
        num_classes=2,
    )
    body = {**BODY, "method": "transfer", "prune": {"levels": 1}, "init": {"upload": "upl_" + "0" * 26}}
    spec = SearchSpec.model_validate({**body, "treatments": ["frozen"]})
    chain, control = expand(
        spec, tenant="local", dataset=INFO, resources=Resources(), device_class="cpu", origin=origin
    )
    assert [needs_origin(chain.spec, level) for level in (0, 1)] == [True, True]
    assert not needs_origin(control.spec, 1)
    assert needed(chain.spec, 1) == {"rewind"}
    assert needed(control.spec, 1) == {"rewind", "mask"}

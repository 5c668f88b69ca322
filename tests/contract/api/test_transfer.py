"""Transfer: a ticket of one's own, found here or uploaded, is what a search begins with; anybody else's is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.api.conftest import Answer, Api, World
from tests.support.uploads import Ticket, form

NOBODYS = "01M819GX8CWEWRMKD33897TJYY"


def body(init: dict[str, str] | None, **spec: Any) -> dict[str, Any]:
    """A search that trains a ticket of a 64-12-10 network again on digits."""
    own = {
        "model": {"name": "mlp", "sizes": [64, 12, 10]},
        "dataset": {"name": "digits"},
        "method": "transfer",
        "train": {"steps": 40, "eval_every": 10},
        "prune": {"levels": 1},
        "replicates": 2,
        "treatments": ["random_reinit"],
        **({"init": init} if init else {}),
        **spec,
    }
    return {"spec": own}


def uploaded(api: Api, ticket: Ticket | None = None) -> str:
    """Upload a ticket; return its id."""
    data, content_type = form((ticket or Ticket()).parts())
    name: str = api.send("POST", "/v1/tickets", data, Content_Type=content_type).json()["id"]
    return name


def refused(answer: Answer, code: str, pointer: str) -> str:
    problem = answer.json()
    assert (answer.status, problem["code"]) == (422, code), problem
    assert problem["errors"][0]["pointer"] == pointer
    return str(problem["errors"][0]["detail"])


def test_an_uploaded_ticket_is_what_a_search_begins_with(keyed: Api) -> None:
    sent = body({"upload": uploaded(keyed)})
    estimate = keyed.send("POST", "/v1/searches:estimate", sent).json()
    assert (estimate["lineages"], estimate["levels"]) == (4, 2 * 2 + 2)
    checked = keyed.send("POST", "/v1/searches?validate_only=true", sent)
    assert (checked.status, checked.json()["object"]) == (200, "estimate")
    answer = keyed.send("POST", "/v1/searches", sent)
    assert answer.status == 202, answer.body
    assert answer.json()["spec"]["init"]["upload"] == sent["spec"]["init"]["upload"]
    assert keyed.get(answer.headers["location"])["counts"]["lineages"] == 4


def test_a_ticket_found_here_is_what_a_search_begins_with(keyed: Api, world: World) -> None:
    for treatment in ("winning_ticket", "random_reinit"):
        ticket = world.searches["alice"].tickets[treatment, 2]
        answer = keyed.send("POST", "/v1/searches", body({"ticket": ticket}))
        assert answer.status == 202, answer.body


@pytest.mark.parametrize("path", ["/v1/searches", "/v1/searches:estimate", "/v1/searches?validate_only=true"])
def test_what_the_tenant_does_not_have_is_unknown(keyed: Api, world: World, path: str) -> None:
    bobs = world.searches["bob"].tickets["winning_ticket", 2]
    for ticket in (bobs, f"tkt_{NOBODYS}"):
        answer = keyed.send("POST", path, body({"ticket": ticket}))
        refused(answer, "unknown_ticket", "/spec/init/ticket")
    bobs_upload = uploaded(keyed.having(world.keys["bob"]), Ticket(seed=9))
    for upload in (bobs_upload, f"upl_{NOBODYS}"):
        answer = keyed.send("POST", path, body({"upload": upload}))
        refused(answer, "unknown_upload", "/spec/init/upload")


def test_a_ticket_that_does_not_fit_the_search_is_refused(keyed: Api) -> None:
    other = uploaded(keyed, Ticket(sizes=(64, 20, 10)))
    detail = refused(keyed.send("POST", "/v1/searches", body({"upload": other})), "invalid_spec", "/spec/model")
    assert "shape" in detail
    flat = uploaded(keyed, Ticket(in_shape=(64, 1, 1)))
    refused(keyed.send("POST", "/v1/searches", body({"upload": flat})), "invalid_spec", "/spec/dataset")
    lenet = body({"upload": other}, model={"name": "lenet_300_100"})
    refused(keyed.send("POST", "/v1/searches", lenet), "invalid_spec", "/spec/model")


def test_another_number_of_classes_is_welcome(keyed: Api) -> None:
    other = uploaded(keyed, Ticket(sizes=(64, 12, 7)))
    assert keyed.send("POST", "/v1/searches", body({"upload": other})).status == 202


@pytest.mark.parametrize(
    ("init", "spec", "pointer"),
    [
        (None, {}, "/spec"),
        ({"upload": f"upl_{NOBODYS}"}, {"method": "imp"}, "/spec"),
        ({"upload": f"upl_{NOBODYS}", "ticket": f"tkt_{NOBODYS}"}, {}, "/spec/init"),
        ({}, {}, "/spec/init"),
        ({"upload": "upl_1"}, {}, "/spec/init/upload"),
        ({"ticket": f"upl_{NOBODYS}"}, {}, "/spec/init/ticket"),
        ({"file": "x"}, {}, "/spec/init/file"),
    ],
)
def test_init_names_one_ticket_and_belongs_to_transfer(
    keyed: Api, init: dict[str, str] | None, spec: dict[str, Any], pointer: str
) -> None:
    sent = body(None, **spec)
    if init is not None:
        sent["spec"]["init"] = init
    refused(keyed.send("POST", "/v1/searches", sent), "invalid_spec", pointer)


def test_a_repeated_submission_of_a_transfer_makes_one_search(keyed: Api) -> None:
    sent = body({"upload": uploaded(keyed)})
    first, second = (keyed.send("POST", "/v1/searches", sent, Idempotency_Key="transfer-once") for _ in range(2))
    assert (first.status, second.status) == (202, 200)
    assert first.json()["id"] == second.json()["id"]

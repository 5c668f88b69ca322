"""Uploads: a ticket is named by what it is, whatever it came in; anything that does not fit is refused by its part."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from tests.contract.api.conftest import Answer, Api, World, start_api
from tests.support.uploads import BOUNDARY, Ticket, form, npz

TICKET = Ticket()


def upload(api: Api, parts: dict[str, bytes], types: dict[str, str] | None = None) -> Answer:
    body, content_type = form(parts, types=types)
    return api.send("POST", "/v1/tickets", body, Content_Type=content_type)


def refusal(api: Api, **changes: bytes) -> dict[str, Any]:
    """Upload with some parts replaced; return the first error, which must be a 422."""
    answer = upload(api, TICKET.parts(**changes))
    problem = answer.json()
    assert (answer.status, problem["code"]) == (422, "bad_upload"), problem
    return dict(problem["errors"][0])


def test_every_form_of_a_ticket_gives_one_id(keyed: Api) -> None:
    own = Ticket(seed=1)
    answers = [
        upload(keyed, own.parts(mask=mask, rewind=rewind))
        for mask in own.masks().values()
        for rewind in own.rewinds().values()
    ]
    assert [answer.status for answer in answers] == [201] + [200] * 7
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({answer.body for answer in answers}) == 1


def test_an_upload_has_the_digests_and_counts_of_its_mask(keyed: Api) -> None:
    shown = upload(keyed, TICKET.parts()).json()
    assert shown["mask_sha256"] == hashlib.sha256(TICKET.masks()["packed"]).hexdigest()
    assert shown["kept"] == sum(int(mask.sum()) for mask in TICKET.mask.values())
    assert shown["prunable"] == 64 * 12 + 12 * 10
    assert [layer["kept"] for layer in shown["layers"]] == [int(mask.sum()) for mask in TICKET.mask.values()]
    assert shown["model"] == {"name": "mlp", "sizes": [64, 12, 10]}
    assert keyed.get(shown["urls"]["self"]) == shown


def test_the_location_leads_to_the_upload(keyed: Api) -> None:
    answer = upload(keyed, Ticket(seed=2).parts())
    assert keyed.get(answer.headers["location"]) == answer.json()


def test_a_mask_is_read_by_its_media_type_where_that_says_more_than_its_bytes(keyed: Api) -> None:
    types = {"mask": "application/x-safetensors"}
    answer = upload(keyed, TICKET.parts(), types)
    assert answer.json()["errors"][0]["pointer"] == "/mask"
    assert upload(keyed, TICKET.parts(), {"mask": "application/vnd.lth.mask"}).status == 200


def test_uploads_are_listed_newest_first_page_by_page(keyed: Api, world: World) -> None:
    api = keyed.having(world.keys["fuzz"])
    made = [upload(api, Ticket(seed=seed).parts()).json()["id"] for seed in (11, 12, 13)]
    first = api.get("/v1/uploads?limit=2")
    second = api.get(f"/v1/uploads?limit=2&after={first['next_after']}")
    assert first["has_more"]
    listed = [one["id"] for one in (*first["data"], *second["data"])]
    assert listed[:3] == made[::-1]


def test_another_tenants_upload_is_not_found(keyed: Api, world: World) -> None:
    name = upload(keyed, TICKET.parts()).json()["id"]
    bob = keyed.having(world.keys["bob"])
    assert bob.send("GET", f"/v1/uploads/{name}").status == 404
    assert name not in [one["id"] for one in bob.get("/v1/uploads")["data"]]
    own = upload(bob, TICKET.parts()).json()["id"]
    assert own != name
    assert bob.send("GET", f"/v1/tickets:compare?a={own}&b={name}").status == 404


def test_an_upload_is_compared_with_a_ticket_and_with_another_upload(keyed: Api, world: World) -> None:
    first, second = (upload(keyed, Ticket(seed=seed).parts()).json()["id"] for seed in (0, 3))
    ticket = world.searches["alice"].tickets["winning_ticket", 1]
    both = keyed.get(f"/v1/tickets:compare?a={first}&b={second}")
    masks = [np.concatenate([mask.ravel() for mask in Ticket(seed=seed).mask.values()]) for seed in (0, 3)]
    assert both["overall"]["jaccard"] == (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert keyed.get(f"/v1/tickets:compare?a={first}&b={ticket}")["overall"]["kept_a"] == masks[0].sum()
    other = upload(keyed, Ticket(sizes=(64, 20, 10)).parts()).json()["id"]
    assert keyed.send("GET", f"/v1/tickets:compare?a={first}&b={other}").json()["code"] == "bad_filter"


def changed(**tensors: Any) -> dict[str, Any]:
    return {**TICKET.rewind, **tensors}


@pytest.mark.parametrize(
    ("part", "data", "pointer", "words"),
    [
        ("rewind", save(changed(x=np.zeros(1, np.float32))), "/rewind", "'x'"),
        ("rewind", save({"fc1.weight": TICKET.rewind["fc1.weight"]}), "/rewind", "lacks"),
        ("rewind", save(changed(**{"fc1.weight": np.zeros((2, 2), np.float32)})), "/rewind", "fc1.weight"),
        ("rewind", save(changed(**{"fc1.weight": np.zeros((12, 64), np.float64)})), "/rewind", "float32"),
        ("rewind", save(changed(**{"fc1.weight": np.full((12, 64), np.nan, np.float32)})), "/rewind", "not finite"),
        ("rewind", save(changed(**{"fc1.bias": np.full(12, np.inf, np.float32)})), "/rewind", "not finite"),
        ("rewind", npz(changed(**{"fc1.weight": np.zeros((12, 64), np.float64)})), "/rewind", "fc1.weight"),
        ("rewind", b"nothing", "/rewind", "must be safetensors or npz"),
        ("mask", b"\xff" * 7, "/mask", "bytes"),
        ("mask", b"\xff" * 1000, "/mask", "bytes"),
        ("mask", save({"fc1.weight": np.ones((12, 64), np.uint8)}), "/mask", "lacks"),
        ("mask", npz({**TICKET.mask, "fc1.bias": np.ones(12, np.bool_)}), "/mask", "fc1.bias"),
        ("manifest", b"{", "/manifest", ""),
        ("manifest", b'{"a": 1, "a": 2}', "/manifest", "twice"),
        ("manifest", TICKET.manifest(format=2), "/manifest/format", "1"),
        ("manifest", TICKET.manifest(model={"name": "lenet"}), "/manifest/model/name", "got"),
        ("manifest", TICKET.manifest(model={"name": "mlp", "sizes": [9, 10]}), "/manifest/model", ""),
        ("manifest", TICKET.manifest(in_shape=[0, 8, 8]), "/manifest/in_shape/0", ">= 1"),
        ("manifest", TICKET.manifest(num_classes=True), "/manifest/num_classes", "integer"),
        ("manifest", TICKET.manifest(author="me"), "/manifest/author", "not a known member"),
        ("manifest", TICKET.manifest(layers=[]), "/manifest/layers", "prunable"),
        (
            "manifest",
            TICKET.manifest(model={"name": "mlp", "sizes": [64, 65536, 65536, 10]}),
            "/manifest/model",
            "bytes",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_its_part(keyed: Api, part: str, data: bytes, pointer: str, words: str) -> None:
    error = refusal(keyed, **{part: data})
    assert error["pointer"] == pointer
    assert words in error["detail"]


def test_counts_that_are_not_the_masks_are_refused(keyed: Api) -> None:
    said = json.loads(TICKET.manifest())["layers"]
    said[1]["kept"] += 1
    assert refusal(keyed, manifest=TICKET.manifest(layers=said))["pointer"] == "/manifest/layers/1/kept"
    said[0]["name"], said[1]["name"] = said[1]["name"], said[0]["name"]
    assert refusal(keyed, manifest=TICKET.manifest(layers=said))["pointer"] == "/manifest/layers/0/name"


def test_an_array_of_objects_is_not_unpickled(keyed: Api) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, ("raise SystemExit",))

    arrays = {**TICKET.mask, "fc1.weight": np.full((12, 64), Evil(), dtype=object)}
    assert "fc1.weight" in refusal(keyed, mask=npz(arrays))["detail"]


def test_parts_are_three_and_each_comes_once(keyed: Api) -> None:
    parts = TICKET.parts()
    lacking = upload(keyed, {name: parts[name] for name in ("manifest", "mask")})
    assert lacking.json()["errors"] == [{"pointer": "/rewind", "detail": "is required"}]
    renamed = upload(keyed, {**{name: parts[name] for name in ("manifest", "mask")}, "weights": parts["rewind"]})
    assert renamed.json()["errors"][0]["pointer"] == "/weights"
    body, content_type = form(parts)
    once = form({"mask": parts["mask"]})[0].removesuffix(f"--{BOUNDARY}--\r\n".encode())
    assert keyed.send("POST", "/v1/tickets", once + body, Content_Type=content_type).status in (400, 422)


def test_what_is_no_form_is_refused(keyed: Api) -> None:
    assert keyed.send("POST", "/v1/tickets", {"a": 1}).status == 415
    broken = keyed.send("POST", "/v1/tickets", b"nothing", Content_Type="multipart/form-data")
    assert (broken.status, broken.json()["code"]) == (400, "bad_request")
    assert keyed.send("POST", "/v1/tickets", b"x", Content_Type=f"multipart/form-data; boundary={BOUNDARY}").status in (
        400,
        422,
    )
    body, content_type = form(TICKET.parts())
    cut = keyed.send("POST", "/v1/tickets", body[:-200], Content_Type=content_type)
    assert cut.status in (400, 422)


def test_a_reader_may_not_upload(keyed: Api, world: World) -> None:
    assert upload(keyed.having(world.keys["reader"]), TICKET.parts()).json()["code"] == "missing_scope"
    assert upload(keyed.having("nothing"), TICKET.parts()).status == 401


def test_an_upload_may_be_larger_than_other_bodies_but_not_than_its_own_bound(world: World) -> None:
    api = start_api(world, "small-uploads", "127.0.0.1", LTH_QUOTA_UPLOAD_BYTES="200000")
    try:
        large = Ticket(sizes=(64, 400, 10))
        assert 65_536 < len(form(large.parts())[0]) < 200_000
        assert upload(api, large.parts()).status == 201
        too_large = upload(api, Ticket(sizes=(64, 900, 10)).parts())
        assert (too_large.status, too_large.json()["code"]) == (413, "body_too_large")
        zeros = Ticket(sizes=(64, 900, 10))
        zeros.rewind = {name: np.zeros_like(array) for name, array in zeros.rewind.items()}
        bomb = zeros.parts(rewind=zeros.rewinds()["npz"])
        assert len(form(bomb)[0]) < 200_000
        assert upload(api, bomb).json()["errors"][0]["pointer"] == "/manifest/model"
        other = api.send("POST", "/v1/searches", b" " * 70_000)
        assert other.status == 413
    finally:
        api.server.stop()

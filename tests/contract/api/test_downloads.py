"""Downloads: the stored bytes, in any form, by ranges, under tags that never lie."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math

import numpy as np
import pytest
from safetensors.numpy import load

from tests.contract.api.conftest import Answer, Api, World

FORMS = {
    "packed": "application/vnd.lth.mask",
    "safetensors": "application/x-safetensors",
    "npz": "application/x-npz",
}
FILES = ["mask?format=packed", "mask?format=safetensors", "mask?format=npz", "rewind", "final", "manifest"]


@pytest.fixture
def ticket(world: World) -> str:
    """The best ticket of alice's ended search."""
    name: str = world.searches["alice"].tickets["winning_ticket", 2]
    return f"/v1/tickets/{name}"


def check_digests(answer: Answer, whole: bytes) -> None:
    digest = hashlib.sha256(whole)
    assert answer.headers["etag"] == f'"sha256-{digest.hexdigest()}"'
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"


def test_the_packed_mask_read_by_numpy_has_the_counts_of_the_manifest(keyed: Api, ticket: str) -> None:
    packed = keyed.send("GET", f"{ticket}/mask?format=packed").body
    manifest = keyed.get(f"{ticket}/manifest")
    layers = manifest["core"]["layers"]
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    start = 0
    for layer in layers:
        size = math.prod(layer["shape"])
        assert bits[start : start + size].sum() == layer["kept"]
        start += size
    assert not bits[start:].any()
    assert hashlib.sha256(packed).hexdigest() == manifest["core"]["digests"]["mask"]
    assert hashlib.sha256(packed).hexdigest() == keyed.get(ticket)["mask_sha256"]


def test_all_forms_hold_the_same_mask_chosen_by_format_or_accept(keyed: Api, ticket: str) -> None:
    for form, media_type in FORMS.items():
        by_format = keyed.send("GET", f"{ticket}/mask?format={form}", Accept="text/html")
        by_accept = keyed.send("GET", f"{ticket}/mask", Accept=media_type)
        assert by_format.headers["content-type"] == by_accept.headers["content-type"] == media_type
        assert by_format.body == by_accept.body
        assert by_accept.headers["vary"] == "Accept"
    tensors = load(keyed.send("GET", f"{ticket}/mask").body)
    arrays = np.load(io.BytesIO(keyed.send("GET", f"{ticket}/mask?format=npz").body), allow_pickle=False)
    assert set(tensors) == set(arrays)
    assert all(np.array_equal(tensors[name], arrays[name]) for name in tensors)


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_byte_stable_with_digests_that_hold(keyed: Api, ticket: str, file: str) -> None:
    first, second = (keyed.send("GET", f"{ticket}/{file}") for _ in range(2))
    assert first.status == 200
    assert first.body == second.body
    check_digests(first, first.body)
    assert "immutable" in first.headers["cache-control"]
    assert first.headers["content-disposition"].startswith('attachment; filename="tkt_')
    head = keyed.send("HEAD", f"{ticket}/{file}")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(first.body)
    check_digests(head, first.body)


@pytest.mark.parametrize("file", FILES)
def test_ranges_join_to_the_whole_file(keyed: Api, ticket: str, file: str) -> None:
    whole = keyed.send("GET", f"{ticket}/{file}")
    size = len(whole.body)
    cut = size // 3
    parts = [f"bytes=0-{cut - 1}", f"bytes={cut}-{2 * cut}", f"bytes={2 * cut + 1}-"]
    answers = [keyed.send("GET", f"{ticket}/{file}", Range=part, If_Range=whole.headers["etag"]) for part in parts]
    assert [answer.status for answer in answers] == [206] * 3
    assert b"".join(answer.body for answer in answers) == whole.body
    assert answers[0].headers["content-range"] == f"bytes 0-{cut - 1}/{size}"
    check_digests(answers[1], whole.body)


def test_ranges_that_cannot_be_are_refused_and_outdated_ones_ignored(keyed: Api, ticket: str) -> None:
    size = len(keyed.send("GET", f"{ticket}/rewind").body)
    outside = keyed.send("GET", f"{ticket}/rewind", Range=f"bytes={size}-")
    assert outside.status == 416
    assert outside.headers["content-range"] == f"bytes */{size}"
    assert outside.json()["code"] == "range_not_satisfiable"
    outdated = keyed.send("GET", f"{ticket}/rewind", Range="bytes=0-1", If_Range='"sha256-00"')
    assert (outdated.status, len(outdated.body)) == (200, size)
    several = keyed.send("GET", f"{ticket}/rewind", Range="bytes=0-1,4-5")
    assert (several.status, len(several.body)) == (200, size)


def test_bytes_that_the_client_has_are_304(keyed: Api, ticket: str) -> None:
    tag = keyed.send("GET", f"{ticket}/mask").headers["etag"]
    again = keyed.send("GET", f"{ticket}/mask", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    assert keyed.send("GET", f"{ticket}/mask?format=npz", If_None_Match=tag).status == 200


def test_what_was_not_kept_says_so(keyed: Api, world: World) -> None:
    assert keyed.send("GET", "/v1/tickets/tkt_01M819GX8CWEWRMKD33897TJYY/mask").json()["code"] == "not_found"


def test_forms_that_do_not_exist_are_refused(keyed: Api, ticket: str) -> None:
    assert keyed.send("GET", f"{ticket}/mask?format=pth").json()["code"] == "bad_filter"
    assert keyed.send("GET", f"{ticket}/mask", Accept="text/html").status == 406
    assert keyed.send("GET", f"{ticket}/rewind", Accept="application/json").status == 406


@pytest.mark.parametrize("form", ["torch_prune", "open_lth"])
def test_an_export_that_a_worker_made_is_a_file_as_any(keyed: Api, ticket: str, form: str) -> None:
    answer = keyed.send("GET", f"{ticket}/mask?format={form}")
    assert answer.status == 200
    assert answer.body == f"{form} of {ticket.rpartition('/')[2]}".encode()
    check_digests(answer, answer.body)
    assert keyed.send("GET", f"{ticket}/mask?format={form}", Range="bytes=0-3").body == answer.body[:4]


def test_an_export_that_no_worker_makes_is_asked_for_again_later(keyed: Api, world: World) -> None:
    name = world.searches["alice"].tickets["winning_ticket", 1]
    head = keyed.send("HEAD", f"/v1/tickets/{name}/mask?format=open_lth")
    assert head.status == 202
    assert int(head.headers["retry-after"]) > 0


def test_a_corrupt_blob_is_never_served(keyed: Api, world: World) -> None:
    bob = keyed.having(world.keys["bob"])
    seeded = world.searches["bob"]
    ticket = seeded.tickets["winning_ticket", 1]
    digest = seeded.manifest("winning_ticket", 1)["stored"]["rewind"]["sha256"]
    blob = world.folder / "objects" / "blobs" / "bob" / digest
    good = blob.read_bytes()
    try:
        blob.write_bytes(b"x" + good[1:])
        answer = bob.send("GET", f"/v1/tickets/{ticket}/rewind")
        assert (answer.status, answer.json()["code"]) == (502, "artefact_corrupt")
    finally:
        blob.write_bytes(good)
    assert bob.send("GET", f"/v1/tickets/{ticket}/rewind").body == good


def test_the_manifest_is_the_stored_one(keyed: Api, world: World, ticket: str) -> None:
    stored = world.searches["alice"].manifest("winning_ticket", 2)
    assert json.loads(keyed.send("GET", f"{ticket}/manifest").body)["core"] == stored["core"]


def test_two_tickets_are_compared_against_chance(keyed: Api, world: World) -> None:
    seeded = world.searches["alice"]
    first, second = seeded.tickets["winning_ticket", 1], seeded.tickets["winning_ticket", 2]
    answer = keyed.get(f"/v1/tickets:compare?a={first}&b={second}")
    kept = seeded.manifest("winning_ticket", 2)["core"]["kept"]
    assert answer["overall"]["kept_both"] == kept
    same = keyed.get(f"/v1/tickets:compare?a={first}&b={first}")
    assert all(layer["jaccard"] == 1 and layer["hamming"] == 0 for layer in same["layers"])

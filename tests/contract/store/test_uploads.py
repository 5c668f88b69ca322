"""Tickets found elsewhere: named by content, stored once, and resolved to digests when a search begins with one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lth_core.canonical import sha256_hex
from lth_core.cells import SpecError
from lth_core.masks import pack_mask
from lth_core.model_spec import ModelSpec
from lth_core.spec import Submission
from lth_core.treatments import Origin, TicketInit
from lth_core.weights import weights_from_safetensors
from service.store import keys
from service.store.errors import BadCursor, NotFound, UnknownTicket, UnknownUpload
from service.store.plans import Accepted, Plan
from service.store.record import Record
from service.store.uploads import UploadedTicket
from tests.support.records import TENANT, OpenRecord, commit, manifest_of, start, submit, tiny_submission
from tests.support.uploads import Ticket

pytestmark = pytest.mark.anyio
SIZES = (16, 8, 2)


def ticket(seed: int = 0, sizes: tuple[int, ...] = SIZES) -> UploadedTicket:
    """A ticket of the network that the tiny searches train."""
    own = Ticket(seed, sizes, (1, 4, 4))
    return UploadedTicket(ModelSpec(name="mlp", sizes=sizes), (1, 4, 4), sizes[-1], own.mask, own.rewind)


def transfer(init: dict[str, str], **spec: Any) -> Submission:
    """A search that begins with a ticket."""
    return tiny_submission(spec={"method": "transfer", "init": init, "prune": {"levels": 1}, **spec})


async def test_a_ticket_is_named_by_its_content_and_stored_once(open_record: OpenRecord) -> None:
    async with open_record() as record, open_record() as other:
        first, created = await record.put_upload(TENANT, ticket())
        again, created_again = await other.put_upload(TENANT, ticket())
        assert (created, created_again) == (True, False)
        assert first == again
        ids = {first["id"]}
        ids.add((await record.put_upload("other", ticket()))[0]["id"])
        ids.add((await record.put_upload(TENANT, ticket(seed=1)))[0]["id"])
        ids.add((await record.put_upload(TENANT, ticket(sizes=(16, 9, 2))))[0]["id"])
        assert len(ids) == 4
        assert all(keys.is_upload_id(name) for name in ids)


async def test_a_changed_bit_or_weight_is_another_ticket(record: Record) -> None:
    names = set()
    for change in (None, "mask", "rewind"):
        own = ticket()
        if change == "mask":
            own.mask["fc1.weight"][0, 0] ^= True
        elif change == "rewind":
            own.rewind["fc1.weight"][0, 0] += 1
        names.add((await record.put_upload(TENANT, own))[0]["id"])
    assert len(names) == 3


async def test_stored_bytes_are_the_mask_and_the_weights(record: Record) -> None:
    own = Ticket(0, SIZES, (1, 4, 4))
    shown, _ = await record.put_upload(TENANT, ticket())
    assert await record.blob(TENANT, shown["mask_sha256"]) == pack_mask(own.mask, own.tensors)
    weights = weights_from_safetensors(await record.blob(TENANT, shown["rewind_sha256"]), own.tensors)
    assert all(np.array_equal(weights[name], array) for name, array in own.rewind.items())


async def test_uploads_of_one_tenant_are_nobody_elses(record: Record) -> None:
    shown, _ = await record.put_upload(TENANT, ticket())
    assert (await record.uploads(TENANT, limit=5)).data == [shown]
    assert (await record.uploads("other", limit=5)).data == []
    with pytest.raises(NotFound):
        await record.upload("other", shown["id"])
    with pytest.raises(NotFound):
        await record.upload(TENANT, "../x")
    with pytest.raises(BadCursor):
        await record.uploads(TENANT, limit=5, after="upl_" + "0" * 26)


async def test_an_upload_is_resolved_to_the_digests_of_its_bytes(record: Record) -> None:
    shown, _ = await record.put_upload(TENANT, ticket())
    origin = await record.origin(TENANT, TicketInit(upload=shown["id"]))
    assert origin == Origin(
        mask_sha256=shown["mask_sha256"],
        rewind_sha256=shown["rewind_sha256"],
        model=ModelSpec(name="mlp", sizes=SIZES),
        in_shape=(1, 4, 4),
        num_classes=2,
    )
    with pytest.raises(UnknownUpload):
        await record.origin("other", TicketInit(upload=shown["id"]))


async def test_a_ticket_of_a_search_is_resolved_to_its_stored_bytes(record: Record) -> None:
    search, truth = await start(record)
    for level in (0, 1):
        await commit(record, search, truth.lineages[0], level, weights=b"the rewind weights")
    found = (await record.tickets(TENANT, limit=1)).data[0]
    origin = await record.origin(TENANT, TicketInit(ticket=found["id"]))
    assert origin is not None
    assert origin.mask_sha256 == found["mask_sha256"]
    assert origin.rewind_sha256 == sha256_hex(b"the rewind weights")
    assert (origin.model.sizes, origin.in_shape, origin.num_classes) == (SIZES, (1, 4, 4), 2)
    with pytest.raises(UnknownTicket):
        await record.origin("other", TicketInit(ticket=found["id"]))


async def test_a_ticket_without_its_weights_is_refused_and_told_why(record: Record) -> None:
    search, truth = await start(record, tiny_submission(spec={"keep": "masks"}))
    await commit(record, search, truth.lineages[0], 0)
    manifest = await _manifest_without_weights(record, search, truth.lineages[0])
    await record.commit_level(TENANT, search, truth.lineages[0].key, 1, manifest, 1)
    found = (await record.tickets(TENANT, limit=1)).data[0]
    with pytest.raises(SpecError, match="weights to rewind to are kept; its search keeps 'masks'") as refused:
        await record.origin(TENANT, TicketInit(ticket=found["id"]))
    assert refused.value.pointer == "/init/ticket"


async def _manifest_without_weights(record: Record, search: str, lineage: Any) -> dict[str, Any]:
    manifest = await manifest_of(record.objects, search, lineage, 1)
    manifest["stored"].pop("rewind")
    return manifest


async def test_a_transfer_is_accepted_with_its_origin_and_found_again_by_everyone(open_record: OpenRecord) -> None:
    async with open_record() as record, open_record() as other:
        await start(record)
        shown, _ = await record.put_upload(TENANT, ticket())
        search = (await submit(record, transfer({"upload": shown["id"]}), "transfer"))[0]["id"]
        stored = json.loads(await record.objects.get(keys.spec(TENANT, search)))
        assert stored["origin"]["mask_sha256"] == shown["mask_sha256"]
        plan = await other.plan(TENANT, search)
        assert plan.accepted.origin == await record.origin(TENANT, TicketInit(upload=shown["id"]))
        assert all(own.spec.origin == plan.accepted.origin for own in plan.lineages)
        assert (await other.load(TENANT, search)).lineages == plan.lineages


async def test_tickets_with_other_bits_have_other_keys_and_the_same_bits_the_same(record: Record) -> None:
    await start(record)
    plans = []
    for number, seed in enumerate((0, 1, 0)):
        shown, _ = await record.put_upload(TENANT, ticket(seed=seed))
        search = (await submit(record, transfer({"upload": shown["id"]}), f"key-{number}-{seed}"))[0]["id"]
        plans.append(await record.plan(TENANT, search))
    assert plans[0].keys == plans[2].keys
    assert not set(plans[0].keys) & set(plans[1].keys)


async def test_a_search_of_an_unknown_ticket_is_never_claimed(record: Record) -> None:
    await start(record)
    before = await record.objects.list("claims/")
    with pytest.raises(UnknownTicket):
        await submit(record, transfer({"ticket": "tkt_" + "0" * 26}), "unknown")
    assert await record.objects.list("claims/") == before


async def test_a_search_without_an_origin_is_stored_as_it_always_was(record: Record) -> None:
    search, _ = await start(record)
    raw = await record.objects.get(keys.spec(TENANT, search))
    assert "origin" not in json.loads(raw)
    accepted = Accepted.from_bytes(raw)
    assert accepted.origin is None
    assert accepted.to_bytes() == raw
    assert Plan.of(accepted, raw).keys == (await record.plan(TENANT, search)).keys

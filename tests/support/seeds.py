"""Searches written through the record as a dispatcher and its drivers would, for tests of what reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lth_core.expansion import PlannedLineage
from lth_core.model_spec import ModelSpec
from lth_core.weights import to_safetensors
from service.settings import Settings
from service.store.jobs import EXPORTS, REPORTS, SEARCH_ANALYSES, TICKET_ANALYSES, Kind
from service.store.record import Record
from service.store.uploads import UploadedTicket
from tests.support.chains import Computed, compute, digits, digits_info, small_submission
from tests.support.uploads import Ticket

EPOCH_OWNER = "seed"


@dataclass
class Seeded:
    """One search as it was written.

    Attributes:
        tenant: Whose it is.
        id: Its id.
        computed: Its manifests and blobs.
        lineages: Lineage ids by treatment.
        tickets: Ticket ids by treatment and level.
        upload: Id of a ticket of the same network that the tenant uploaded.
    """

    tenant: str
    id: str
    computed: Computed
    lineages: dict[str, str] = field(default_factory=dict)
    tickets: dict[tuple[str, int], str] = field(default_factory=dict)
    upload: str = ""

    def manifest(self, treatment: str, level: int) -> dict[str, Any]:
        """Return the manifest of one level."""
        return self.computed.manifests[self.lineage(treatment).key_of_level(level), level]

    def lineage(self, treatment: str) -> PlannedLineage:
        """Return a lineage by its treatment."""
        return self.computed.lineage(treatment)


async def register_digits(record: Record) -> None:
    """Register scikit-learn's digits."""
    await record.register_dataset(digits_info(), {"arrays.safetensors": to_safetensors(digits().arrays())})


async def write_search(record: Record, tenant: str, *, epoch: int, name: str, ended: bool = True) -> Seeded:
    """Submit a small search, commit all its levels, and end it unless it shall stay open."""
    body = small_submission().model_copy(update={"name": name, "labels": {"made": "by-test"}})
    search, created = await record.submit(tenant, body, idempotency_key=name, fingerprint="f" * 64)
    assert created
    seeded = Seeded(tenant, search["id"], compute(body, tenant=tenant, search=search["id"]))
    await record.take_over(tenant, seeded.id, epoch)
    for data in seeded.computed.blobs.values():
        await record.objects.put_blob(tenant, data)
    for (key, level), manifest in seeded.computed.manifests.items():
        await record.commit_level(tenant, seeded.id, key, level, {**manifest, "epoch": epoch}, epoch)
    if ended:
        best = seeded.lineage("winning_ticket")
        results = {
            "levels": [{"setting": 0, "level": 2, "verdicts": {"paper_point": "yes"}}],
            "best": {"key": best.key, "level": 2},
            "usage": {"gpu_seconds": 0.0, "cpu_seconds": 1.5},
        }
        sha256 = await record.put_results(tenant, seeded.id, results)
        await record.finish(tenant, seeded.id, "succeeded", None, sha256, epoch)
    await _name(record, seeded)
    seeded.upload = await _upload(record, tenant)
    return seeded


async def make_derived(record: Record, tenant: str, search: str, ticket: str) -> None:
    """Answer everything that can be derived of an ended search and a ticket of it, as a worker would."""
    wanted: list[tuple[str, Kind, tuple[str, ...]]] = [
        (ticket, "export", EXPORTS),
        (ticket, "analysis", TICKET_ANALYSES),
        (search, "analysis", SEARCH_ANALYSES),
        (search, "report", (*REPORTS, "figure-accuracy.svg", "figure-accuracy.png")),
    ]
    for subject, kind, names in wanted:
        for name in names:
            await make_one(record, tenant, subject, kind, name)


async def make_one(record: Record, tenant: str, subject: str, kind: Kind, name: str) -> None:
    """Answer one job with bytes that say what they stand for, as JSON where it must be."""
    assert await record.request_derived(tenant, subject, kind, name) is None
    job = await record.next_derived(1.0)
    assert job is not None
    assert (job.tenant, job.subject, job.kind, job.name) == (tenant, subject, kind, name)
    stands_for = {"object": kind, "name": name, "subject": subject}
    is_json = kind == "analysis" or name == "json"
    text = json.dumps(stands_for) if is_json else f"{name} of {subject}"
    await record.finish_derived(job, await record.objects.put_blob(tenant, text.encode()))


async def _upload(record: Record, tenant: str) -> str:
    own = Ticket()
    model = ModelSpec(name="mlp", sizes=own.sizes)
    document, _ = await record.put_upload(
        tenant, UploadedTicket(model, own.in_shape, own.sizes[-1], own.mask, own.rewind)
    )
    return str(document["id"])


async def _name(record: Record, seeded: Seeded) -> None:
    page = await record.lineages(seeded.tenant, seeded.id, limit=200)
    seeded.lineages = {one["treatment"]: one["id"] for one in page.data}
    tickets = await record.tickets(seeded.tenant, limit=200, search=seeded.id)
    seeded.tickets = {(one["treatment"], one["level"]): one["id"] for one in tickets.data}


async def lead_once(settings: Settings) -> tuple[Record, int]:
    """Open a record and lead it for as long as seeding takes."""
    record = await Record.open(settings)
    lease = await record.lead(EPOCH_OWNER)
    assert lease is not None
    await record.recover(lease.epoch)
    return record, lease.epoch

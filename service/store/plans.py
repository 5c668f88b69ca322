"""Accepted searches: the stored specification, and its expansion into named lineages, computed once and kept."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from lth_core.canonical import FORMAT, canonical_json, digest_of
from lth_core.expansion import DatasetInfo, DeviceClass, PlannedLineage, expand
from lth_core.keys import lineage_id, ticket_id
from lth_core.spec import Submission
from lth_core.treatments import Origin
from service.store import clock
from service.store.errors import UnknownFormat

MAX_CACHED_PLANS = 256
PRIORITY_RANKS = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True)
class Accepted:
    """The content of `spec.json`: one accepted search, a function of its claim and its body.

    Attributes:
        tenant: Whose search it is.
        id: Its id, from the claim.
        accepted_at: When the claim was made.
        fingerprint: Digest of method, path and canonical body, by which replays are compared.
        submission: The body.
        dataset: The data set as registered at acceptance.
        device_class: What `resources.device` came to.
        provenance: The code that accepted it.
        origin: What a transferred ticket is made of, None for every other method.
    """

    tenant: str
    id: str
    accepted_at: datetime
    fingerprint: str
    submission: Submission
    dataset: DatasetInfo
    device_class: DeviceClass
    provenance: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None

    def to_bytes(self) -> bytes:
        """Encode it as the object that is stored."""
        spec = self.submission.spec
        document = {
            "format": FORMAT,
            "id": self.id,
            "tenant": self.tenant,
            "accepted_at": clock.to_text(self.accepted_at),
            "fingerprint": self.fingerprint,
            "submission": self.submission.model_dump(mode="json"),
            "dataset": self.dataset.model_dump(mode="json"),
            "device_class": self.device_class,
            "cost": {"lineages": spec.num_lineages, "levels": spec.num_levels},
            "provenance": dict(self.provenance),
        }
        if self.origin is not None:
            document["origin"] = self.origin.model_dump(mode="json")
        return canonical_json(document)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Accepted:
        """Decode a stored specification.

        Raises:
            UnknownFormat: If a later version wrote it.
        """
        document = json.loads(raw)
        if document.get("format") != FORMAT:
            raise UnknownFormat(f"spec.json has format {document.get('format')!r}, known is {FORMAT}")
        return cls(
            document["tenant"],
            document["id"],
            clock.from_text(document["accepted_at"]),
            document["fingerprint"],
            Submission.model_validate(document["submission"]),
            DatasetInfo.model_validate(document["dataset"]),
            document["device_class"],
            document["provenance"],
            Origin.model_validate(document["origin"]) if "origin" in document else None,
        )


@dataclass(frozen=True)
class Plan:
    """An accepted search with its lineages and their ids."""

    accepted: Accepted
    lineages: tuple[PlannedLineage, ...]
    raw: bytes

    @classmethod
    def of(cls, accepted: Accepted, raw: bytes | None = None) -> Plan:
        """Expand an accepted search.

        Raises:
            SpecError: If the specification does not fit its data set.
        """
        lineages = expand(
            accepted.submission.spec,
            tenant=accepted.tenant,
            dataset=accepted.dataset,
            resources=accepted.submission.resources,
            device_class=accepted.device_class,
            origin=accepted.origin,
        )
        return cls(accepted, lineages, raw or accepted.to_bytes())

    @property
    def tenant(self) -> str:
        """Whose search it is."""
        return self.accepted.tenant

    @property
    def id(self) -> str:
        """Id of the search."""
        return self.accepted.id

    @property
    def month(self) -> str:
        """The month whose quota it counts against, such as 202611."""
        return self.accepted.accepted_at.strftime("%Y%m")

    @property
    def priority_rank(self) -> int:
        """0 for the most urgent."""
        return PRIORITY_RANKS[self.accepted.submission.priority]

    @cached_property
    def spec_digest(self) -> str:
        """Digest of the canonical specification, equal for equal questions."""
        return digest_of(self.accepted.submission.spec.canonical())

    @cached_property
    def ids(self) -> dict[str, str]:
        """Lineage ids by lineage key."""
        return {own.key: lineage_id(self.id, own.key, self.accepted.accepted_at) for own in self.lineages}

    @cached_property
    def by_id(self) -> dict[str, PlannedLineage]:
        """Lineages by lineage id."""
        return {self.ids[own.key]: own for own in self.lineages}

    @cached_property
    def by_key(self) -> dict[str, PlannedLineage]:
        """Lineages by lineage key."""
        return {own.key: own for own in self.lineages}

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """All keys under which levels of this search lie, dense ones first."""
        dense = dict.fromkeys(own.dense_key for own in self.lineages)
        return (*dense, *(own.key for own in self.lineages))

    def lineages_at(self, key: str, level: int) -> tuple[PlannedLineage, ...]:
        """Return the lineages that have this level under this key; a dense level 0 may serve many chains."""
        if level == 0:
            return tuple(own for own in self.lineages if own.first_level == 0 and own.key_of_level(0) == key)
        return (self.by_key[key],) if key in self.by_key else ()

    def ticket_id(self, key: str, level: int, committed_at: str) -> str:
        """Name of the ticket at one level of one lineage."""
        return ticket_id(self.id, key, level, clock.from_text(committed_at))


class PlanCache:
    """The plans that this process looked at last; a specification never changes."""

    def __init__(self) -> None:
        self._plans: OrderedDict[tuple[str, str], Plan] = OrderedDict()

    def get(self, tenant: str, search_id: str) -> Plan | None:
        """Return a plan that is in the cache."""
        plan = self._plans.get((tenant, search_id))
        if plan is not None:
            self._plans.move_to_end((tenant, search_id))
        return plan

    def add(self, plan: Plan) -> Plan:
        """Keep a plan, and return it."""
        self._plans[plan.tenant, plan.id] = plan
        while len(self._plans) > MAX_CACHED_PLANS:
            self._plans.popitem(last=False)
        return plan


def device_class_of(asked: Literal["auto", "cpu", "cuda"], auto: DeviceClass) -> DeviceClass:
    """Resolve `resources.device` against what `auto` stands for."""
    return auto if asked == "auto" else asked

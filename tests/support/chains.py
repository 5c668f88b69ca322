"""A small search computed in this process on real digits: its manifests and blobs, ready to be committed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lth_core.data import TensorData, load
from lth_core.expansion import DatasetInfo, PlannedLineage, expand
from lth_core.fingerprint import fingerprint
from lth_core.inputs import parent_of
from lth_core.level import LevelResult
from lth_core.lineage import run_control, run_lineage
from lth_core.manifest import Blob, blobs_to_keep, build_manifest, complete_core, core_digest, final_blob
from lth_core.spec import Submission
from lth_core.starts import start_document
from workers.decoded import Decoded
from workers.decoders import decode_built_in

TENANT = "local"


@cache
def digits() -> Decoded:
    """Scikit-learn's digits, decoded once per test process."""
    return decode_built_in("digits", root=None, download=False)


@cache
def digits_info() -> DatasetInfo:
    """What a search plans with."""
    return digits().info()


@cache
def digits_tensors() -> TensorData:
    """The digits as an engine trains on them."""
    return load(digits_info(), digits().arrays())


def small_submission(**spec: Any) -> Submission:
    """A network of 64-12-10 with three prunings, forty steps each, one replicate and three controls."""
    body: dict[str, Any] = {
        "model": {"name": "mlp", "sizes": [64, 12, 10]},
        "dataset": {"name": "digits"},
        "train": {"steps": 40, "eval_every": 10, "lr": 0.01},
        "prune": {"levels": 3, "fraction": 0.4},
        "replicates": 1,
        "treatments": ["random_reinit", "random_mask", "shuffled_mask"],
        "keep": "all",
        **spec,
    }
    return Submission.model_validate({"spec": body})


@dataclass
class Computed:
    """What a search left behind: its lineages, per key and level a manifest and the trained weights, and the blobs."""

    submission: Submission
    lineages: tuple[PlannedLineage, ...]
    manifests: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    finals: dict[tuple[str, int], bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def lineage(self, treatment: str) -> PlannedLineage:
        """Return the first lineage with this treatment."""
        return next(own for own in self.lineages if own.spec.treatment == treatment)

    def cores(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Return the cores by key and level, as judging reads them."""
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for (key, level), manifest in self.manifests.items():
            found.setdefault(key, {})[level] = manifest["core"]
        return found

    def chain(self, lineage: PlannedLineage, level: int) -> tuple[dict[str, Any], ...]:
        """Return the manifests of a lineage from level 0 to `level`."""
        return tuple(self.manifests[lineage.key_of_level(n), n] for n in range(level + 1))


def compute(submission: Submission, *, tenant: str = TENANT, search: str = "srch_test") -> Computed:
    """Compute every level of every lineage of a search on digits."""
    lineages = expand(
        submission.spec,
        tenant=tenant,
        dataset=digits_info(),
        resources=submission.resources,
        device_class="cpu",
    )
    computed = Computed(submission, lineages)
    chains: dict[str, list[LevelResult]] = {}
    for planned in lineages:
        if planned.source_key is None:
            results = list(run_lineage(planned.spec, digits_tensors(), planned.num_levels))
            chains[planned.key] = results
        else:
            source = chains[planned.source_key]
            masks = [(n, source[n].mask) for n in range(1, len(source))]
            finals = {n: result.final for n, result in enumerate(source)}
            given = {"finals": finals, "optimizer": source[0].optimizer}
            results = list(run_control(planned.spec, digits_tensors(), masks, source[0].rewind, **given))
        for result in results:
            _keep(computed, planned, result, search)
    return computed


def _keep(computed: Computed, planned: PlannedLineage, result: LevelResult, search: str) -> None:
    level = result.core["level"]
    key = planned.key_of_level(level)
    if (key, level) in computed.manifests:
        return
    place, source = parent_of(planned, level), planned.source_key
    parent = core_digest(computed.manifests[place]["core"]) if place else None
    mask_from = core_digest(computed.manifests[source, level]["core"]) if source and level else None
    computed.finals[key, level] = final_blob(result).data
    blobs = blobs_to_keep(result, planned.spec)
    for blob in blobs.values():
        computed.blobs[blob.sha256] = blob.data
    computed.manifests[key, level] = build_manifest(
        complete_core(result.core, key=key, parent=parent, mask_from=mask_from),
        {name: Blob.reference(blob) for name, blob in blobs.items()},
        start=start_document(planned.spec, level),
        epoch=1,
        attempt=1,
        search=search,
        started_at="2026-11-22T09:00:00.000Z",
        committed_at=f"2026-11-22T09:00:{level:02d}.000Z",
        fingerprint=fingerprint("cpu", os.environ, engine=result.engine),
        engine=result.engine,
        code="test",
    )

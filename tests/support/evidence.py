"""Evidence of one computed ticket for the verifier, fresh for each test, and ways to spoil it like a forger."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from lth_core.canonical import sha256_hex
from lth_core.manifest import core_digest
from lth_core.results import search_results
from tests.support.chains import TENANT, Computed, compute, digits, small_submission
from workers.evidence import Blobs, Evidence, Judgement
from workers.report import Report
from workers.verify import verify_evidence

LEVEL = 3


@cache
def computed(keep: str = "all", rewind_step: int = 0) -> Computed:
    return compute(small_submission(keep=keep, rewind={"step": rewind_step}))


KINDS: dict[str, dict[str, Any]] = {
    "lr": {"rewind": {"step": 10, "mode": "lr"}, "treatments": ["reset", "identity"]},
    "fine_tune": {"rewind": {"mode": "fine_tune"}, "treatments": ["identity"], "keep": "masks"},
    "restore": {"rewind": {"step": 10, "optimizer": "restore"}, "treatments": ["random_reinit"]},
    "one_shot": {"method": "one_shot", "prune": {"densities": [0.6, 0.4, 0.1]}, "treatments": ["invert_scores"]},
    "snip": {"method": "snip", "prune": {"levels": 3, "fraction": 0.4}, "treatments": ["invert_scores"]},
    "random": {"method": "random_at_init", "prune": {"densities": [0.6, 0.4, 0.1], "layer_densities": "erk"}},
    "synflow": {"method": "synflow", "prune": {"densities": [0.6, 0.4, 0.1], "scope": "global"}, "treatments": []},
    "gradual": {
        "method": "gradual",
        "prune": {"densities": [0.6, 0.4, 0.1], "every": 5, "begin_step": 5},
        "treatments": ["reset", "identity"],
    },
    "held": {"treatments": ["frozen", "reordered", {"name": "noise", "sigma": 2.0}, "random_sparse"]},
}


@cache
def of_kind(kind: str) -> Computed:
    return compute(small_submission(**{"treatments": [], **KINDS[kind]}))


def evidence(treatment: str = "winning_ticket", *, keep: str = "all", rewind_step: int = 0) -> Evidence:
    """Return fresh evidence that a test may spoil."""
    return evidence_of(computed(keep, rewind_step), treatment)


def evidence_of(search: Computed, treatment: str) -> Evidence:
    lineage, source = search.lineage(treatment), search.lineage("winning_ticket")
    chain = copy.deepcopy(search.chain(lineage, LEVEL))
    final = chain[-1]["stored"].get("final")
    return Evidence(
        tenant=TENANT,
        lineage=lineage.spec,
        key=lineage.key,
        dense_key=lineage.dense_key,
        source_key=source.key,
        chain=chain,
        source=chain if lineage is source else copy.deepcopy(search.chain(source, LEVEL)),
        blobs=Blobs(dict(search.blobs), {}),
        final=search.blobs[final["sha256"]] if final else None,
        margin=0.01,
        data=digits().arrays(),
        judgement=judgement(search),
    )


def judgement(search: Computed) -> Judgement:
    levels = search_results(search.submission.spec, search.lineages, search.cores())["levels"]
    manifests: dict[str, dict[int, Any]] = {}
    for (key, level), manifest in search.manifests.items():
        manifests.setdefault(key, {})[level] = manifest
    return Judgement(search.submission.spec, search.lineages, manifests, copy.deepcopy(levels), final=True)


def verify(found: Evidence, *, retrain: bool = False) -> Report:
    return verify_evidence("tkt_test", found, retrain=retrain)


def failed(report: Report) -> set[str]:
    return {check.name for check in report.checks if check.status == "fail"}


def resign(found: Evidence) -> None:
    """Give every manifest of the chains the digest and parent that its edited core needs, as a forger would."""
    for chain in (found.source, found.chain):
        for level, manifest in enumerate(chain):
            if level:
                manifest["core"]["parent"] = core_digest(chain[level - 1]["core"])
            if chain is found.chain and found.is_control and level:
                manifest["core"]["mask_from"] = core_digest(found.source[level]["core"])
            manifest["core_sha256"] = core_digest(manifest["core"])


def put(found: Evidence, level: int, part: str, content: bytes, digest: str | None = None) -> None:
    """Store other bytes for one part of a level, with manifests that agree."""
    sha256 = sha256_hex(content)
    found.blobs.contents[sha256] = content
    manifest = found.chain[level]
    manifest["stored"][part].update(sha256=sha256, size_bytes=len(content))
    manifest["core"]["digests"][part] = digest or sha256

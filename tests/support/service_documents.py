"""A small finished search as the service would describe it, for tests of client and command line."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from tests.support.scripted_service import Says, ScriptedService, page

SEARCH = "srch_01M818AAB20GX731VMRNSBV2H5"
TICKET = "tkt_01M819GX8CWEWRMKD33897TJYY"
TREATMENTS = ("winning_ticket", "random_reinit")
NUM_LEVELS = 3

MASKS = {
    "fc1.weight": np.array([[True, False, True], [False, True, True]]),
    "out.weight": np.array([[True, True], [False, True]]),
}
PACKED = np.packbits(np.concatenate([mask.ravel() for mask in MASKS.values()]), bitorder="little").tobytes()
MANIFEST: dict[str, Any] = {
    "format": 1,
    "core": {
        "level": 2,
        "layers": [{"name": n, "shape": list(m.shape), "kept": int(m.sum())} for n, m in MASKS.items()],
        "digests": {"mask": hashlib.sha256(PACKED).hexdigest()},
    },
}


def search(status: str = "succeeded", **members: Any) -> dict[str, Any]:
    """A search document."""
    total = len(TREATMENTS) * 3 * NUM_LEVELS + 3
    done = total if status == "succeeded" else 4
    return {
        "id": SEARCH,
        "object": "search",
        "name": "lenet-digits",
        "status": status,
        "reason": None,
        "status_at": {"queued": "2026-11-22T09:10:11.042Z"},
        "best": ticket() if status == "succeeded" else None,
        "counts": {"lineages": 6, "succeeded": 6},
        "progress": {"levels_done": done, "levels_total": total, "fraction": done / total},
        "conditions": [],
        "spec": {"model": {"name": "lenet_300_100"}, "dataset": {"name": "digits"}, "replicates": [0, 1, 2]},
        **members,
    }


def ticket(**members: Any) -> dict[str, Any]:
    """A ticket document."""
    return {
        "id": TICKET,
        "object": "ticket",
        "lineage": "lin_winning_ticket_0",
        "search": SEARCH,
        "replicate": 0,
        "treatment": "winning_ticket",
        "setting": {},
        "level": 2,
        "density": 0.64,
        "test_accuracy": 0.975,
        "early_stop_step": 120,
        "verdicts": {"paper_point": "yes", "certified": "inconclusive"},
        "mask_sha256": MANIFEST["core"]["digests"]["mask"],
        **members,
    }


def lineages() -> list[dict[str, Any]]:
    """Three replicates of the tickets and of one control."""
    return [
        {
            "id": f"lin_{treatment}_{replicate}",
            "object": "lineage",
            "treatment": treatment,
            "replicate": replicate,
            "repeat": 0,
            "setting": {},
            "status": "succeeded",
            "levels_done": NUM_LEVELS + (treatment == "winning_ticket"),
            "levels_total": NUM_LEVELS + (treatment == "winning_ticket"),
        }
        for treatment in TREATMENTS
        for replicate in range(3)
    ]


def curves() -> dict[str, Any]:
    """The numbers of all levels; the tickets stay good, the control gets worse."""
    series = []
    for lineage in lineages():
        is_ticket = lineage["treatment"] == "winning_ticket"
        slope = 0.002 if is_ticket else -0.01
        points = [
            [level, 0.8**level, 200 - round(1000 * slope) * level, 0.97 + slope * level + 0.001 * lineage["replicate"]]
            for level in range(0 if is_ticket else 1, NUM_LEVELS + 1)
        ]
        head = {name: lineage[name] for name in ("treatment", "repeat", "replicate", "setting")}
        series.append({"lineage": lineage["id"], **head, "points": points})
    columns = ["level", "density", "early_stop_step", "test_accuracy"]
    return {"object": "curves", "search": SEARCH, "columns": columns, "series": series}


def tell_everything(service: ScriptedService, status: str = "succeeded") -> None:
    """Let a scripted service know the search, its lineages, levels and tickets."""
    root = f"/v1/searches/{SEARCH}"
    service.on("GET", root, Says(document=search(status)))
    service.on("GET", "/v1/searches", page(search(status)))
    service.on("GET", f"{root}/lineages", page(*lineages()))
    service.on("GET", f"{root}/curves", Says(document=curves()))
    service.on("GET", "/v1/tickets", page(ticket()))
    service.on("GET", f"/v1/tickets/{TICKET}", Says(document=ticket()))
    service.on("GET", f"/v1/tickets/{TICKET}/manifest", Says(document=MANIFEST))
    service.on("GET", f"/v1/tickets/{TICKET}/mask", Says(body=PACKED))

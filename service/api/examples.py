"""Examples of bodies and answers for the OpenAPI document; the request examples can be sent as they are."""

from __future__ import annotations

from typing import Any

SEARCH_ID = "srch_01M818AAB20GX731VMRNSBV2H5"
LINEAGE_ID = "lin_01M818AAB2NJP8DG7617590VV3"
TICKET_ID = "tkt_01M819GX8CWEWRMKD33897TJYY"
UPLOAD_ID = "upl_3Z4N8YQ0CWEWRMKD33897TJYYV"
DIGEST = "62c6" + "0" * 60
AT = "2026-11-22T09:10:11.042Z"

SUBMISSION: dict[str, Any] = {
    "name": "lenet-digits",
    "labels": {"figure": "4"},
    "spec": {
        "model": {"name": "lenet_300_100"},
        "dataset": {"name": "digits"},
        "train": {"optimizer": "adam", "lr": 0.0012, "batch_size": 60, "steps": 500, "eval_every": 50},
        "prune": {"fraction": 0.2, "levels": 5},
        "rewind": {"step": 0},
        "replicates": 3,
        "treatments": ["random_reinit"],
    },
}

GRID_SUBMISSION: dict[str, Any] = {
    "name": "prune-rates",
    "spec": {
        "model": {"name": "mlp", "sizes": [64, 32, 10]},
        "dataset": {"name": "digits"},
        "train": {"steps": 200, "eval_every": 50},
        "prune": {"fraction": {"grid": [0.1, 0.2, 0.5]}, "levels": 3},
        "replicates": [0, 1],
        "treatments": [{"name": "random_reinit", "repeats": 2}],
    },
}

SEARCH: dict[str, Any] = {
    "id": SEARCH_ID,
    "object": "search",
    "name": "lenet-digits",
    "status": "queued",
    "reason": None,
    "revision": 1,
    "created_at": AT,
    "parent": None,
    "relation": None,
    "labels": {"figure": "4"},
    "note": "",
    "priority": "normal",
    "status_at": {"queued": AT},
    "best": None,
    "usage": {"gpu_seconds": 0.0, "cpu_seconds": 0.0},
    "counts": {"lineages": 6, "blocked": 3, "pending": 3, "running": 0, "succeeded": 0},
    "progress": {"levels_done": 0, "levels_total": 33, "fraction": 0.0},
    "provenance": {"numerics": 1},
    "conditions": [],
    "spec": SUBMISSION["spec"],
    "spec_digest": f"sha256:{DIGEST}",
    "resources": {"device": "auto", "threads": 1},
    "budget": {"max_failed_lineages": 0, "max_gpu_seconds": None, "deadline_s": None},
    "results": None,
    "urls": {"self": f"/v1/searches/{SEARCH_ID}", "events": f"/v1/searches/{SEARCH_ID}/events"},
}

ESTIMATE: dict[str, Any] = {
    "object": "estimate",
    "settings": 1,
    "lineages": 6,
    "levels": 33,
    "steps": 16500,
    "gpu_seconds": {"p50": None, "p90": None, "basis": "no measurement yet"},
    "fits": True,
    "limits": {"lineages_per_search": 256},
}

LINEAGE: dict[str, Any] = {
    "id": LINEAGE_ID,
    "object": "lineage",
    "search": SEARCH_ID,
    "key": f"sha256:{DIGEST}",
    "dense_key": f"sha256:{DIGEST}",
    "replicate": 0,
    "repeat": 0,
    "treatment": "winning_ticket",
    "setting": {},
    "status": "running",
    "levels_done": 3,
    "levels_total": 6,
}

LEVEL: dict[str, Any] = {
    "object": "level",
    "lineage": LINEAGE_ID,
    "level": 1,
    "status": "committed",
    "label": "winning",
    "density": 0.8,
    "kept": 212960,
    "prunable": 266200,
    "collapsed": False,
    "mask_sha256": DIGEST,
    "metrics": {"early_stop_step": 300, "test_accuracy": 0.95},
    "ticket": TICKET_ID,
    "committed_at": AT,
}

TICKET: dict[str, Any] = {
    "id": TICKET_ID,
    "object": "ticket",
    "lineage": LINEAGE_ID,
    "search": SEARCH_ID,
    "replicate": 0,
    "treatment": "winning_ticket",
    "level": 7,
    "label": "winning",
    "density": 0.210721,
    "verdicts": {"paper_point": "yes"},
    "mask_sha256": DIGEST,
    "formats": ["packed", "safetensors", "npz", "torch_prune", "open_lth"],
    "urls": {"mask": f"/v1/tickets/{TICKET_ID}/mask", "manifest": f"/v1/tickets/{TICKET_ID}/manifest"},
}

EVENT: dict[str, Any] = {
    "event_id": f"{LINEAGE_ID}:7:committed",
    "type": "level.committed",
    "at": AT,
    "search": SEARCH_ID,
    "lineage": LINEAGE_ID,
    "level": 7,
    "data": {"density": 0.210721},
}

PROBLEM: dict[str, Any] = {
    "type": "/problems/too-many-lineages",
    "title": "The spec expands to more lineages than allowed",
    "status": 422,
    "code": "too_many_lineages",
    "detail": "12 settings x 10 replicates x 3 treatments = 360 lineages; the limit is 256.",
    "instance": "/v1/searches",
    "request_id": "req_01M818AAB08N1MKS12Y199E68Y",
    "errors": [{"pointer": "/spec/prune/fraction", "detail": "grid of 12 values"}],
}

CURVES: dict[str, Any] = {
    "object": "curves",
    "search": SEARCH_ID,
    "columns": ["level", "density", "early_stop_step", "test_accuracy"],
    "series": [{"lineage": LINEAGE_ID, "treatment": "winning_ticket", "replicate": 0, "points": [[0, 1.0, 400, 0.97]]}],
}

ANALYSIS: dict[str, Any] = {
    "object": "analysis",
    "name": "overlap",
    "subject": SEARCH_ID,
    "search": {"id": SEARCH_ID, "status": "running", "complete": False, "levels_committed": 12, "levels_planned": 33},
}

UPLOAD_MANIFEST: dict[str, Any] = {
    "format": 1,
    "model": {"name": "lenet_300_100"},
    "in_shape": [1, 28, 28],
    "num_classes": 10,
}

UPLOAD: dict[str, Any] = {
    "id": UPLOAD_ID,
    "object": "upload",
    "model": {"name": "lenet_300_100"},
    "in_shape": [1, 28, 28],
    "num_classes": 10,
    "layers": [{"name": "fc1.weight", "shape": [300, 784], "kind": "fc", "kept": 49325, "total": 235200}],
    "kept": 56094,
    "prunable": 266200,
    "density": 0.210721,
    "collapsed": False,
    "mask_sha256": DIGEST,
    "mask_bytes": 33275,
    "rewind_sha256": DIGEST,
    "rewind_bytes": 1067000,
    "uploaded_at": AT,
    "urls": {"self": f"/v1/uploads/{UPLOAD_ID}"},
}

API_KEY: dict[str, Any] = {"tenant": "alice", "scopes": ["read", "write"], "name": "laptop"}

SCALE: dict[str, Any] = {"cpu": {"min": 1, "max": 4}, "cuda": {"min": 0, "max": None}}

CLUSTER: dict[str, Any] = {
    "object": "cluster",
    "reachable": True,
    "at": AT,
    "slots": {"total": 128, "taken": 15, "free": 113, "own": 15},
    "waiting": {"own": 0, "others": 0},
    "engines": [
        {
            "name": "engine-1",
            "device": "cuda",
            "threads": 1,
            "status": "ready",
            "waits_for_node": False,
            "node": "gpu-0",
            "slots": {"total": 128, "taken": 15, "free": 113, "own": 15},
            "requested_at": AT,
            "ready_at": AT,
            "idle_since": None,
        }
    ],
    "searches": [
        {"id": SEARCH_ID, "queue_position": None, "levels_running": 15, "levels_waiting": 0, "eta": AT},
    ],
    "limits": {
        "engines": {"cpu": {"min": 0, "max": None}, "cuda": {"min": 0, "max": None}},
        "slots_per_engine": {"cpu": 1, "cuda": 128},
        "cpus": None,
        "gpus": None,
        "running_lineages": 64,
        "engine_idle_s": 60.0,
    },
    "events": [
        {
            "at": AT,
            "kind": "engine_ready",
            "node": "gpu-0",
            "engine": "engine-1",
            "device": "cuda",
            "threads": 1,
            "reason": None,
        }
    ],
}

NODE: dict[str, Any] = {
    "id": "0" * 56,
    "name": "gpu-0",
    "address": "10.0.0.7",
    "alive": True,
    "since": AT,
    "lost_at": None,
    "cpus": {"total": 8.0, "used": 0.95},
    "gpus": {"total": 1.0, "used": 1.0},
    "num_engines": 1,
}

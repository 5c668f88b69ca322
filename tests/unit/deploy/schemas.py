"""Strict validation: Kubernetes' own schemas, KubeRay's CRD, and the few fields of add-ons that the chart uses."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.support.requires import require
from tests.unit.deploy.charts import Object, label, pods

VERSIONS = ("1.30.0", "1.37.0")
"""The oldest Kubernetes that the chart admits, and the newest that is known."""
TEXT = {"type": "string"}


def problems(objects: list[Object], version: str) -> list[str]:
    """What the API server of a Kubernetes version, or one of its operators, would refuse."""
    return [problem for found in objects for problem in _problems(found, version)]


def _problems(found: Object, version: str) -> Iterator[str]:
    if found["kind"] == "RayCluster":
        yield from _found(ray_cluster_validator(), found, label(found))
        for pod in pods([found]):
            as_pod = {"apiVersion": "v1", "kind": "Pod", "metadata": pod.metadata, "spec": pod.spec}
            yield from _found(kubernetes_validator("v1", "Pod", version), as_pod, pod.owner)
    elif found["kind"] in ADD_ONS:
        yield from _found(Draft202012Validator(ADD_ONS[found["kind"]]), found, label(found))
    else:
        yield from _found(kubernetes_validator(found["apiVersion"], found["kind"], version), found, label(found))


def _found(validator: Any, document: Object, name: str) -> Iterator[str]:
    for error in validator.iter_errors(document):
        yield f"{name}: {'.'.join(map(str, error.path))}: {error.message[:200]}"


@cache
def kubernetes_validator(api_version: str, kind: str, version: str) -> Any:
    """The validator of a kind, which also refuses fields that this version of Kubernetes does not know."""
    folder = _package_folder() / f"v{version}-local-strict"
    group, _, number = api_version.rpartition("/")
    suffix = f"{group.split('.')[0]}-{number}" if group else number
    file = folder / f"{kind.lower()}-{suffix}.json"
    if not file.exists():
        raise ValueError(f"Kubernetes {version} has no {kind} of {api_version}")
    return Draft202012Validator(json.loads(file.read_text()), registry=_definitions(folder))


@cache
def _definitions(folder: Path) -> Registry[Any]:
    contents = json.loads((folder / "_definitions.json").read_text())
    registry: Registry[Any] = Registry().with_resource(contents["$id"], DRAFT202012.create_resource(contents))
    return registry


def _package_folder() -> Path:
    found = importlib.util.find_spec("kubernetes_validate")
    require(found, "kubernetes-validate is not installed")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "kubernetes-json-schema"


@cache
def ray_cluster_validator() -> Any:
    """The validator of a RayCluster by KubeRay's CRD, made strict; skips where the CRD is not at hand."""
    given = os.environ.get("LTH_KUBERAY_CRDS")
    folder = Path(given) if given else Path(os.environ.get("LTH_TEST_DATA", "/nowhere")) / "kuberay"
    file = folder / "raycluster.schema.json"
    if not file.exists():  # data, not a program: without it there is nothing to check, under CI neither
        pytest.skip("LTH_KUBERAY_CRDS names no folder with raycluster.schema.json")
    return Draft202012Validator(strict(json.loads(file.read_text())))


def strict(schema: Any) -> Any:
    """A CRD's schema in which an object with known fields has no others; the API server drops them in silence."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(part) for key, part in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        closed["type"] = ["integer", "string"]
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        closed["additionalProperties"] = False
    return closed


def _closed(required: tuple[str, ...] = (), **fields: Any) -> Object:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def _object(api_version: str, kind: str, spec: Object) -> Object:
    fields = {"apiVersion": {"const": api_version}, "kind": {"const": kind}, "metadata": {"type": "object"}}
    return _closed(("apiVersion", "kind", "metadata", "spec"), **fields, spec=spec)


_PROMETHEUS = _closed(("serverAddress", "query", "threshold"), serverAddress=TEXT, query=TEXT, threshold=TEXT)
ADD_ONS: dict[str, Object] = {
    "ScaledObject": _object(
        "keda.sh/v1alpha1",
        "ScaledObject",
        _closed(
            ("scaleTargetRef", "triggers"),
            scaleTargetRef=_closed(("name",), name=TEXT),
            minReplicaCount={"type": "integer", "minimum": 1},
            maxReplicaCount={"type": "integer", "minimum": 1},
            triggers={"type": "array", "items": _closed(type={"const": "prometheus"}, metadata=_PROMETHEUS)},
        ),
    ),
    "ServiceMonitor": _object(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        _closed(
            ("selector", "endpoints"),
            selector=_closed(("matchLabels",), matchLabels={"type": "object", "additionalProperties": TEXT}),
            endpoints={"type": "array", "items": _closed(("port",), port=TEXT, path=TEXT, interval=TEXT)},
        ),
    ),
}
"""Kinds whose schemas no package brings: the fields that the chart uses, and no others."""

"""The chart as Kubernetes would get it: rendered by Helm's own library, for every situation it has values for."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.requires import require

DEPLOY = Path(__file__).parents[3] / "deploy"
CHART = DEPLOY / "chart"
SITUATIONS = ("default", *sorted(path.stem for path in (CHART / "values").glob("*.yaml")))
RELEASE, NAMESPACE = "demo", "tickets"

Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod template, wherever it stands.

    Attributes:
        owner: Kind and name of the object that makes such pods, and the group within a Ray cluster.
        metadata: Of the template.
        spec: Of the pod.
    """

    owner: str
    metadata: Object
    spec: Object

    @property
    def containers(self) -> list[Object]:
        """All containers, those that start first included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def helm() -> Any:
    """Helm as a library; skips without the package."""
    require(importlib.util.find_spec("helm_python"), "helm-python-sdk is not installed")
    import helm_python

    return helm_python


def values_of(situation: str, chart: Path = CHART) -> Object:
    """The values of a situation; `default` has none of its own."""
    if situation == "default":
        return {}
    found: Object = yaml.safe_load((chart / "values" / f"{situation}.yaml").read_text())
    return found


def rendered_texts(values: Object, chart: Path = CHART) -> dict[str, str]:
    """Every template's text under these values."""
    with helm().Chart.load(str(chart)) as loaded:
        texts: dict[str, str] = loaded.render(values, name=RELEASE, namespace=NAMESPACE)
    return texts


def render(values: Object, chart: Path = CHART) -> list[Object]:
    """Every object of the chart under these values."""
    texts = (text for name, text in rendered_texts(values, chart).items() if not name.endswith("NOTES.txt"))
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


@cache
def _objects_of(situation: str) -> list[Object]:
    return render(values_of(situation))


def objects_of(situation: str) -> list[Object]:
    """Every object of a situation, as a copy of one's own."""
    return copy.deepcopy(_objects_of(situation))


def label(found: Object) -> str:
    """Kind and name of an object, for messages."""
    return f"{found['kind']} {found['metadata']['name']}"


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """The objects of one kind."""
    return [found for found in objects if found["kind"] == kind]


def component(objects: list[Object], kind: str, name: str) -> Object:
    """The object of a kind whose name ends so."""
    (only,) = (found for found in of_kind(objects, kind) if found["metadata"]["name"].endswith(name))
    return only


def pods(objects: list[Object]) -> Iterator[Pod]:
    """Every pod template of the objects, those inside a Ray cluster included."""
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] == "RayCluster":
            yield _pod(f"{label(found)} head", spec["headGroupSpec"]["template"])
            for group in spec["workerGroupSpecs"]:
                yield _pod(f"{label(found)} group {group['groupName']}", group["template"])
        elif "template" in spec:
            yield _pod(label(found), spec["template"])


def _pod(owner: str, template: Object) -> Pod:
    return Pod(owner, template["metadata"], template["spec"])

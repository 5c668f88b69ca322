"""The checks see what they are for: a fault put into a copy of the chart turns exactly them red."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.deploy import charts, policies, schemas

OPTIONS = {
    "monitoring": {"serviceMonitor": {"enabled": True}},
    "keda": {"enabled": True},
    "api": {"ingress": {"enabled": True, "host": "tickets.example.org"}},
}


@dataclass(frozen=True)
class Fault:
    """One edit of one template, and words of the complaint that it must raise.

    Attributes:
        name: What went wrong.
        file: Template.
        old: Text that stands in it at least once.
        new: Text instead, at its first place.
        complaint: Part of what a check then says.
    """

    name: str
    file: str
    old: str
    new: str
    complaint: str


HOME = "- {name: home,"
SHARED_MEMORY = "emptyDir: {medium: Memory, sizeLimit: 512Mi}"
RAY_ONLY = """    - from:
        - podSelector:
            {{- toYaml $ray | nindent 12 }}
  egress"""
FAULTS = (
    Fault("root file system writable", "_helpers.tpl", "readOnlyRootFilesystem: true", "", "can write into its image"),
    Fault("root user", "_helpers.tpl", "runAsUser: 10001", "runAsUser: 0", "may run as root"),
    Fault("capability", "_helpers.tpl", "drop: [ALL]", "drop: [ALL], add: [NET_RAW]", "has capabilities"),
    Fault("no seccomp", "_helpers.tpl", "seccompProfile: {type: RuntimeDefault}", "", "no seccomp profile"),
    Fault("no liveness probe", "api.yaml", "livenessProbe:", "x:", "no livenessProbe"),
    Fault("probe of a wrong kind", "api.yaml", "{path: /healthz, port: http}", "{route: /healthz}", "httpGet"),
    Fault("token for everybody", "api.yaml", "automountServiceAccountToken: false", "", "service-account token"),
    Fault("token mounted", "_ray.tpl", HOME, "- {name: kubernetes-token, mountPath: /t}\n- {name: h,", "token"),
    Fault("latest", "_helpers.tpl", "(default .root.Chart.AppVersion $image.tag)", '"latest"', "unpinned image"),
    Fault("no drain", "api.yaml", "lifecycle:", "x-lifecycle:", "load balancers"),
    Fault("no time to drain", "api.yaml", "{{ add .Values.api.drainSeconds 15 }}", "10", "killed before"),
    Fault("deny nothing", "network-policies.yaml", "[Ingress, Egress]", "[Ingress]", "without a policy"),
    Fault("Ray for everybody", "network-policies.yaml", RAY_ONLY, "    - {}\n  egress", "strangers"),
    Fault("autoscaler locked in", "network-policies.yaml", "kubernetesApi.ports", "redis.ports", "lets the autoscaler"),
    Fault("autoscaler without token", "raycluster.yaml", "- {name: kubernetes-token,", "- {name: tmp,", "cannot talk"),
    Fault("head computes", "raycluster.yaml", 'num-cpus: "0"', 'num-cpus: "4"', "the head offers CPUs"),
    Fault("old autoscaler", "raycluster.yaml", "version: v2", "version: v1", "autoscaler v2"),
    Fault("unknown autoscaler", "raycluster.yaml", "version: v2", "version: v3", "'v3' is not one of"),
    Fault("open cluster", "raycluster.yaml", "mode: token", "mode: disabled", "without a token"),
    Fault("unknown mode", "raycluster.yaml", "mode: token", "mode: tokens", "'tokens' is not one of"),
    Fault("misspelt field of KubeRay", "raycluster.yaml", "idleTimeoutSeconds: {{ $of", "idle: {{ $of", "idle"),
    Fault("GPUs unknown to Ray", "raycluster.yaml", "{{ $of.gpus | quote }}", '"9"', "other GPUs"),
    Fault("number for a text", "raycluster.yaml", "{{ $of.cpus | quote }}", "{{ $of.cpus }}", "not of type 'string'"),
    Fault("field that no pod has", "raycluster.yaml", "enableServiceLinks:", "serviceLinks:", "serviceLinks"),
    Fault("field that no policy has", "network-policies.yaml", "podSelector:", "pods:", "pods"),
    Fault("wrong version of a kind", "api-scaling.yaml", "policy/v1", "policy/v1beta1", "no PodDisruptionBudget"),
    Fault("misspelt field of KEDA", "api-scaling.yaml", "minReplicaCount", "minReplicas", "minReplicas"),
    Fault("misspelt field of a monitor", "monitoring.yaml", "endpoints:", "endpoint:", "endpoint"),
    Fault("host path", "dispatcher.yaml", SHARED_MEMORY, "hostPath: {path: /dev/shm}", "path of its host"),
)


def complaints(chart: Path) -> Iterator[str]:
    """What all checks say of a chart with all its options on, one after the other; KubeRay's word comes last."""
    objects = charts.render(OPTIONS, chart)
    yield from policies.broken(objects)
    for found in sorted(objects, key=lambda found: found["kind"] == "RayCluster"):
        try:
            yield from schemas.problems([found], schemas.VERSIONS[-1])
        except ValueError as unknown:
            yield str(unknown)


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy of the chart, to be spoilt."""
    return shutil.copytree(charts.CHART, tmp_path / "chart")


def test_a_copy_of_the_chart_raises_no_complaint(chart: Path) -> None:
    assert list(complaints(chart)) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_seeded_fault_is_caught(chart: Path, fault: Fault) -> None:
    template = chart / "templates" / fault.file
    text = template.read_text()
    assert fault.old in text
    template.write_text(text.replace(fault.old, fault.new, 1))
    assert any(fault.complaint in complaint for complaint in complaints(chart))


def test_values_without_a_limit_of_memory_are_caught(chart: Path) -> None:
    values = chart / "values.yaml"
    values.write_text(values.read_text().replace("limits: {memory: 1Gi, ephemeral-storage: 2Gi}", "limits: {}"))
    (chart / "values.schema.json").unlink()
    assert [line for line in policies.broken(charts.render(OPTIONS, chart)) if "limit" in line] == [
        "Deployment demo-lth-api api has no limit of memory",
        "Deployment demo-lth-api api has no limit of ephemeral-storage",
    ]

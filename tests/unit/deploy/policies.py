"""What every pod of the chart keeps to; each rule yields the sentences that say where it is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.unit.deploy.charts import Object, Pod, component, label, of_kind, pods
from tests.unit.deploy.reach import way_out

WITHOUT_PROBES = frozenset({"dispatcher"})
"""Containers that listen nowhere: their process ends when they fail, and another replica takes the lease."""
IMAGE = re.compile(r"^[a-z0-9./_-]+:(?P<tag>[A-Za-z0-9._-]+)(@sha256:[0-9a-f]{64})?$")
TOKEN = "kubernetes-token"
KUBERNETES_PORT = 6443

Rule = Callable[[list[Object]], Iterator[str]]


def is_limited(objects: list[Object]) -> Iterator[str]:
    """Memory and disk of every container are bounded, and the scheduler knows what it needs."""
    for name, container in _containers(objects):
        resources = container.get("resources", {})
        for bound in ("memory", "ephemeral-storage"):
            if bound not in resources.get("limits", {}):
                yield f"{name} has no limit of {bound}"
        if not {"cpu", "memory"} <= set(resources.get("requests", {})):
            yield f"{name} requests no cpu and memory"


def is_confined(objects: list[Object]) -> Iterator[str]:
    """Every pod passes the restricted Pod Security Standard, and writes nothing into its image."""
    for pod in pods(objects):
        security = pod.spec.get("securityContext", {})
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            yield f"{pod.owner} may run as root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.owner} has no seccomp profile"
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(field):
                yield f"{pod.owner} has {field}"
        for volume in pod.spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{pod.owner} mounts a path of its host"
    for name, container in _containers(objects):
        own = container.get("securityContext", {})
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name} can write into its image"
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{name} may gain privileges"
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
            yield f"{name} has capabilities"


def is_probed(objects: list[Object]) -> Iterator[str]:
    """Everything that listens is asked whether it lives, and whether it may be spoken to."""
    for pod in pods(objects):
        for container in pod.spec["containers"]:
            if container["name"] not in WITHOUT_PROBES:
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    if probe not in container:
                        yield f"{pod.owner} {container['name']} has no {probe}"


def is_pinned(objects: list[Object]) -> Iterator[str]:
    """Every image says which one it is."""
    for name, container in _containers(objects):
        match = IMAGE.match(container.get("image", ""))
        if match is None or match["tag"] == "latest":
            yield f"{name} has the unpinned image {container.get('image')!r}"


def holds_no_token(objects: list[Object]) -> Iterator[str]:
    """Nobody can talk to the Kubernetes API but the autoscaler."""
    for account in of_kind(objects, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{label(account)} gives its token away"
    for pod in pods(objects):
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.owner} has a service-account token"
        for container in pod.containers:
            if TOKEN in {mount["name"] for mount in container.get("volumeMounts", [])}:
                yield f"{pod.owner} {container['name']} has a service-account token"


def is_closed(objects: list[Object]) -> Iterator[str]:
    """Whatever no policy admits is denied, for every pod."""
    policies = of_kind(objects, "NetworkPolicy")
    denying = [policy["spec"] for policy in policies if not {"ingress", "egress"} & set(policy["spec"])]
    for pod in pods(objects):
        if not any(_selects(spec.get("podSelector"), pod) and _both_ways(spec) for spec in denying):
            yield f"{pod.owner} can be reached, and can reach others, without a policy that says so"
    for policy in policies:
        if "lth/in-ray" in policy["spec"].get("podSelector", {}).get("matchLabels", {}):
            for rule in policy["spec"]["ingress"]:
                if any("podSelector" not in peer or len(peer) > 1 for peer in rule.get("from") or [{}]):
                    yield f"{label(policy)} lets strangers reach Ray"


def has_an_autoscaler(objects: list[Object]) -> Iterator[str]:
    """Groups scale from zero: the head computes nothing, Ray knows what pods will have, and the way out is open."""
    for cluster in of_kind(objects, "RayCluster"):
        spec = cluster["spec"]
        if spec["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
            yield f"{label(cluster)}: the head offers CPUs"
        if not spec.get("enableInTreeAutoscaling") or spec["autoscalerOptions"].get("version") != "v2":
            yield f"{label(cluster)} is not scaled by autoscaler v2"
        if spec.get("authOptions", {}).get("mode") != "token":
            yield f"{label(cluster)} takes drivers without a token"
        mounted = {mount["name"] for mount in spec["autoscalerOptions"].get("volumeMounts", [])}
        if TOKEN not in mounted:
            yield f"{label(cluster)}: the autoscaler cannot talk to the Kubernetes API"
        for group in spec["workerGroupSpecs"]:
            yield from _scales(group, f"{label(cluster)} group {group['groupName']}")
    if of_kind(objects, "NetworkPolicy") and "ray-head" not in way_out(objects, KUBERNETES_PORT):
        yield "no policy lets the autoscaler reach the Kubernetes API"


def _scales(group: Object, name: str) -> Iterator[str]:
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    if not {"idleTimeoutSeconds", "minReplicas", "maxReplicas"} <= set(group):
        yield f"{name} does not say how far and when it scales"
    if group["rayStartParams"].get("num-cpus") != limits.get("cpu"):
        yield f"{name} declares other CPUs to Ray than its pods have"
    if group["rayStartParams"].get("num-gpus") != limits.get("nvidia.com/gpu", "0"):
        yield f"{name} declares other GPUs to Ray than its pods have"


def ends_gracefully(objects: list[Object]) -> Iterator[str]:
    """The API drains before it ends, and has the time for both."""
    api = component(objects, "Deployment", "-api")["spec"]["template"]["spec"]
    drain_s = api["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if not drain_s:
        yield "the API ends while load balancers still send to it"
    if api.get("terminationGracePeriodSeconds", 30) < drain_s + 5 + 5:
        yield "the API is killed before its requests have ended"


RULES: tuple[Rule, ...] = (
    is_limited,
    is_confined,
    is_probed,
    is_pinned,
    holds_no_token,
    is_closed,
    has_an_autoscaler,
    ends_gracefully,
)


def broken(objects: list[Object]) -> list[str]:
    """Every sentence of every rule."""
    return [sentence for rule in RULES for sentence in rule(objects)]


def _containers(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for pod in pods(objects):
        for container in pod.containers:
            yield f"{pod.owner} {container['name']}", container
    for cluster in of_kind(objects, "RayCluster"):
        own = {"image": "inherited:head", "name": "autoscaler", **cluster["spec"].get("autoscalerOptions", {})}
        resources = {"requests": {}, **own.get("resources", {})}
        yield f"{label(cluster)} autoscaler", {**own, "resources": resources}


def _selects(selector: Object | None, pod: Pod) -> bool:
    if selector is None or "matchExpressions" in selector:
        return False
    labels: Object = pod.metadata["labels"]
    wanted: Object = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def _both_ways(spec: Object) -> bool:
    return set(spec["policyTypes"]) == {"Ingress", "Egress"}

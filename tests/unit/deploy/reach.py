"""Who reaches whom, as the network policies of the chart decide it for the pods of one release."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.unit.deploy.charts import Object, Pod, of_kind, pods

PORT_OF = {"api": 8420, "valkey": 6379, "ray-head": 6379, "ray-worker": 6380, "dispatcher": 6380}
"""A port that matters, of each component."""


def component_of(pod: Pod) -> str:
    """The component that a pod is labelled as."""
    return str(pod.metadata["labels"]["app.kubernetes.io/component"])


def reachable(objects: list[Object]) -> set[tuple[str, str]]:
    """Pairs of components of which the first may open a connection to the second, on the port that matters."""
    everyone = list(pods(objects))
    policies = [policy["spec"] for policy in of_kind(objects, "NetworkPolicy")]
    return {
        (component_of(source), component_of(target))
        for source in everyone
        for target in everyone
        if component_of(source) != component_of(target)
        and _admits(policies, source, "Egress", target, PORT_OF[component_of(target)])
        and _admits(policies, target, "Ingress", source, PORT_OF[component_of(target)])
    }


def way_out(objects: list[Object], port: int) -> set[str]:
    """Components that may open a connection to an address outside the cluster on this port."""
    policies = [policy["spec"] for policy in of_kind(objects, "NetworkPolicy")]
    return {
        component_of(pod)
        for pod in pods(objects)
        for rule in _rules(policies, pod, "Egress")
        if _names_port(rule, port) and any("ipBlock" in peer for peer in rule.get("to") or [{"ipBlock": {}}])
    }


def _admits(policies: list[Object], pod: Pod, direction: str, other: Pod, port: int) -> bool:
    """Whether the policies that select a pod let traffic with another one pass; without any, everything does."""
    if not any(_selected(policy.get("podSelector"), pod) and direction in policy["policyTypes"] for policy in policies):
        return True
    side = "to" if direction == "Egress" else "from"
    for rule in _rules(policies, pod, direction):
        peers = rule.get(side)
        if _names_port(rule, port) and (not peers or any(_is_peer(peer, other) for peer in peers)):
            return True
    return False


def _rules(policies: list[Object], pod: Pod, direction: str) -> Iterator[Object]:
    for policy in policies:
        if _selected(policy.get("podSelector"), pod) and direction in policy["policyTypes"]:
            yield from policy.get(direction.lower(), [])


def _names_port(rule: Object, port: int) -> bool:
    ports: list[dict[str, Any]] = rule.get("ports") or [{"port": port}]
    return any(each["port"] == port for each in ports)


def _is_peer(peer: Object, pod: Pod) -> bool:
    """Whether a peer is this pod; addresses are outside the cluster, and other namespaces are not ours."""
    return "podSelector" in peer and "namespaceSelector" not in peer and _selected(peer["podSelector"], pod)


def _selected(selector: Object | None, pod: Pod) -> bool:
    if selector is None:
        return False
    labels: Object = pod.metadata["labels"]
    wanted: Object = selector.get("matchLabels", {})
    among = all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )
    return wanted.items() <= labels.items() and among

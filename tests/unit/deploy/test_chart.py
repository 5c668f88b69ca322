"""Every situation that has a values file renders, lints, is valid to the letter, and keeps the rules."""

from __future__ import annotations

import pytest

from tests.unit.deploy import charts, policies, schemas
from tests.unit.deploy.charts import CHART, NAMESPACE, RELEASE, SITUATIONS, objects_of, values_of

in_every_situation = pytest.mark.parametrize("situation", SITUATIONS)


@in_every_situation
def test_helm_has_nothing_to_say_against_the_chart(situation: str) -> None:
    report = charts.helm().lint(str(CHART), values_of(situation), strict=True, namespace=NAMESPACE)
    complaints = [message for message in report["messages"] if "icon is recommended" not in message["error"]]
    assert report["total_charts_linted"] == 1
    assert (complaints, report["errors"]) == ([], [])


@in_every_situation
@pytest.mark.parametrize("version", schemas.VERSIONS)
def test_the_oldest_and_the_newest_kubernetes_know_every_field(situation: str, version: str) -> None:
    objects = [found for found in objects_of(situation) if found["kind"] != "RayCluster"]
    assert objects
    assert schemas.problems(objects, version) == []


@in_every_situation
def test_kuberay_and_kubernetes_know_every_field_of_the_ray_cluster(situation: str) -> None:
    clusters = charts.of_kind(objects_of(situation), "RayCluster")
    assert len(clusters) == 1
    assert schemas.problems(clusters, schemas.VERSIONS[0]) == []


@in_every_situation
@pytest.mark.parametrize("rule", policies.RULES, ids=lambda rule: rule.__name__)
def test_every_pod_keeps_the_rules(situation: str, rule: policies.Rule) -> None:
    assert list(rule(objects_of(situation))) == []


@in_every_situation
def test_no_two_objects_have_the_same_name(situation: str) -> None:
    names = [charts.label(found) for found in objects_of(situation)]
    assert len(names) == len(set(names))


@in_every_situation
def test_every_selector_finds_pods_of_its_own(situation: str) -> None:
    objects = objects_of(situation)
    labels = [pod.metadata["labels"] for pod in charts.pods(objects)]
    for service in charts.of_kind(objects, "Service"):
        selected = [each for each in labels if service["spec"]["selector"].items() <= each.items()]
        assert len(selected) == 1, charts.label(service)


@in_every_situation
def test_whatever_a_container_mounts_is_a_volume_of_its_pod(situation: str) -> None:
    for pod in charts.pods(objects_of(situation)):
        volumes = {volume["name"] for volume in pod.spec["volumes"]} | {"data"}
        mounted = {mount["name"] for container in pod.containers for mount in container["volumeMounts"]}
        assert mounted <= volumes, pod.owner


@in_every_situation
def test_the_notes_tell_how_to_submit_the_first_search(situation: str) -> None:
    texts = charts.rendered_texts(values_of(situation))
    (notes,) = (text for name, text in texts.items() if name.endswith("NOTES.txt"))
    assert "python -m service.api.first_key" in notes
    assert f"deploy/{RELEASE}-lth-dispatcher" in notes
    assert "lth submit --preset lenet-digits" in notes


def test_options_are_off_until_they_are_asked_for() -> None:
    kinds = {found["kind"] for found in objects_of("default")}
    assert kinds.isdisjoint({"ServiceMonitor", "ScaledObject", "Ingress"})
    assert "kueue" not in str(objects_of("default"))


def test_keda_takes_the_place_of_the_usual_autoscaler() -> None:
    kinds = [found["kind"] for found in objects_of("spot-gpus")]
    assert ("ScaledObject" in kinds, "HorizontalPodAutoscaler" in kinds) == (True, False)


def test_kueue_admits_the_cluster_as_an_elastic_job() -> None:
    (cluster,) = charts.of_kind(objects_of("spot-gpus"), "RayCluster")
    assert cluster["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "lottery-tickets"
    assert cluster["metadata"]["annotations"] == {"kueue.x-k8s.io/elastic-job": "true"}


def test_whoever_has_a_redis_gets_no_valkey() -> None:
    objects = objects_of("s3-workload-identity")
    assert charts.of_kind(objects, "StatefulSet") == []
    assert "valkey" not in str([found["metadata"]["name"] for found in objects])


def test_workload_identity_needs_no_secret_of_the_store() -> None:
    objects = objects_of("s3-workload-identity")
    assert all("envFrom" not in container for pod in charts.pods(objects) for container in pod.containers)
    roles = [account["metadata"].get("annotations") for account in charts.of_kind(objects, "ServiceAccount")]
    assert all(roles)
    assert len(roles) == 2

"""The schema of the values is closed: what is misspelt, or cannot work, never reaches a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.deploy import charts
from tests.unit.deploy.charts import CHART, SITUATIONS, values_of

REFUSED: dict[str, dict[str, Any]] = {
    "a misspelt name": {"dispatchr": {}},
    "a misspelt name further down": {"ray": {"groups": {"gpu": {"maxReplica": 3}}}},
    "a text for a number": {"api": {"replicas": "2"}},
    "no replica at all": {"api": {"replicas": 0}},
    "the tag latest": {"images": {"api": {"tag": "latest"}}},
    "a digest that is none": {"images": {"worker": {"digest": "sha256:abc"}}},
    "a store in memory": {"store": {"url": "memory://"}},
    "a store without a scheme": {"store": {"url": "bucket/prefix"}},
    "a quantity that is none": {"valkey": {"size": "8 GB"}},
    "resources without a limit": {"api": {"resources": {"limits": {"memory": None}}}},
    "a setting that the chart makes itself": {"settings": {"LTH_REDIS_URL": "redis://elsewhere"}},
    "a setting of another program": {"settings": {"RAY_AUTH_MODE": "disabled"}},
    "Kueue without a queue": {"kueue": {"enabled": True}},
    "no redis secret": {"redis": {"secret": ""}},
    "an egress to nowhere": {"networkPolicy": {"kubernetesApi": {"to": []}}},
}


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED)
def test_values_that_cannot_work_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(charts.helm().HelmError, match="values don't meet the specifications of the schema"):
        charts.render(values)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_values_of_every_situation_are_accepted(situation: str) -> None:
    with charts.helm().Chart.load(str(CHART)) as chart:
        chart.validate_schema(chart.merge_values(values_of(situation)))


def test_every_object_of_the_schema_is_closed_or_a_map_of_one_type() -> None:
    with charts.helm().Chart.load(str(CHART)) as chart:
        schema = chart.schema
    # `global` is Helm's own, and the condition on Kueue adds to what is closed already.
    schema["properties"].pop("global")
    schema.pop("allOf")
    assert [part for part in _objects(schema) if part.get("additionalProperties", True) is True] == []


def test_every_value_is_described_by_the_schema_and_every_described_value_has_a_default() -> None:
    with charts.helm().Chart.load(str(CHART)) as chart:
        described = set(chart.schema["properties"]) - {"global"}
    assert set(yaml.safe_load((CHART / "values.yaml").read_text())) == described


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        for part in schema:
            yield from _objects(part)
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from _objects(part)

"""The OpenAPI document says what a body may be: grids, names with a width, and the form of an upload."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from service.api.app import create_app
from service.settings import Settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of an application that was never started."""
    home: Path = tmp_path_factory.mktemp("document")
    return create_app(Settings(home=home)).openapi()


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def test_every_scalar_but_the_number_of_levels_may_be_one_grid(document: dict[str, Any]) -> None:
    for part in ("Train", "Prune", "Rewind"):
        for name, own in schema(document, part)["properties"].items():
            grids = [choice for choice in own.get("anyOf", ()) if "grid" in choice.get("properties", {})]
            expected = 0 if own.get("type") == "array" or name == "levels" else 1
            assert len(grids) == expected, (part, name)
            assert all("grid" not in str(grid["properties"]["grid"]["items"]) for grid in grids)
    assert schema(document, "Prune")["properties"]["levels"]["maximum"] == 40


def test_a_width_may_stand_in_the_name_of_a_network(document: dict[str, Any]) -> None:
    names, wide = schema(document, "ModelSpec")["properties"]["name"]["anyOf"]
    assert "resnet_20" in names["enum"]
    assert re.search(wide["pattern"], "resnet_110_64")
    for other in ("resnet_20_", "resnet_20_0", "resnet_50_32", "xresnet_20_32", "resnet_20_32_"):
        assert not re.search(wide["pattern"], other)


def test_an_upload_is_a_form_of_three_parts(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/tickets"]["post"]["requestBody"]["content"]
    assert list(content) == ["multipart/form-data"]
    assert content["multipart/form-data"]["schema"]["required"] == ["manifest", "mask", "rewind"]
    assert "UploadManifest" in document["components"]["schemas"]


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    wanted = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert wanted <= set(document["components"]["schemas"])


def test_what_a_worker_makes_may_be_answered_by_202_and_by_a_reason(document: dict[str, Any]) -> None:
    for path in (
        "/v1/searches/{search_id}/report",
        "/v1/searches/{search_id}/report/figures/{figure}",
        "/v1/searches/{search_id}/analysis/{analysis}",
        "/v1/tickets/{ticket_id}/analysis/{analysis}",
        "/v1/tickets/{ticket_id}/mask",
    ):
        for method in ("get", "head"):
            answers = document["paths"][path][method]["responses"]
            assert {"200", "202", "206", "304", "404", "409", "416"} <= set(answers)
            assert "Retry-After" in answers["202"]["headers"]

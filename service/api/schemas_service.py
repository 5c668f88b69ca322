"""The shapes of answers about the service itself: data sets, catalog, presets, callers, health, keys."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from service.api import examples
from service.api.schemas import Shape


class ProblemPage(Shape):
    """What a problem code means and what to do about it."""

    type: str
    code: str
    status: int
    title: str
    advice: str


class Dataset(Shape):
    """A registered data set under the digest of its decoded arrays."""

    object: Literal["dataset"]
    name: str
    digest: str
    num_classes: int
    num_train: int
    num_test: int


class DatasetList(Shape):
    """All registered data sets."""

    data: list[Dataset]


class Catalog(Shape):
    """Every name a specification may use, and whether this service supports it."""


class PresetList(Shape):
    """Ready-made request bodies by name."""

    data: list[dict[str, Any]]


class Preset(Shape):
    """A whole request body, ready to POST."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.SUBMISSION]})

    spec: dict[str, Any]


class Me(Shape):
    """Who the caller is to the service."""

    object: Literal["me"]
    tenant: str
    key: str | None
    scopes: list[str]


class Quota(Shape):
    """The limits of the caller's tenant, and what it uses of them now."""

    object: Literal["quota"]
    limits: dict[str, int]
    use: dict[str, int]
    rates: dict[str, int]


class Health(Shape):
    """Whether the service can serve, and what of it is away."""

    status: str


class Version(Shape):
    """What is running."""

    name: str
    version: str
    api: str
    numerics: int


class ApiKey(Shape):
    """An API key without its secret."""

    id: str
    object: Literal["api_key"]
    tenant: str
    scopes: list[str]


class NewApiKey(ApiKey):
    """A new API key; its secret is shown this once."""

    key: str


class ApiKeyList(Shape):
    """All API keys, without their secrets."""

    data: list[ApiKey]


class Rebuilt(Shape):
    """The index was written anew from the object store."""

    object: Literal["rebuild"]
    generation: str

"""Reading request bodies: media type, strict JSON, and the checks of a submission in the order of their cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lth_core.catalog import unsupported
from lth_core.spec import Submission
from service.api.errors import ApiError
from service.api.strict_json import parse_json
from service.api.validation import refuse, validate
from service.store.scale import DEVICE_CLASSES, Bounds, DeviceClass


class KeyRequest(BaseModel):
    """A new API key: for whom, for what, and until when."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    tenant: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
    scopes: Annotated[
        tuple[Literal["read", "write", "admin"], ...], Field(strict=False, min_length=1, max_length=3)
    ] = ("read", "write")
    name: Annotated[str, Field(max_length=120)] = ""
    expires_at: Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})] | None = None


MAX_ENGINES = 10_000
NumEngines = Annotated[int, Field(ge=0, le=MAX_ENGINES)]


class EngineBounds(BaseModel):
    """How many engines of a device class there may be: so many also without work, and never more than the maximum."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    min: NumEngines = 0
    max: Annotated[NumEngines | None, Field(description="null: as many as the cluster carries.")] = None

    @model_validator(mode="after")
    def _min_is_at_most_max(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min must be <= max, got min {self.min} and max {self.max}")
        return self


class ScaleRequest(BaseModel):
    """New bounds of one or more device classes; one that is left out keeps those it has."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", json_schema_extra={"minProperties": 1})

    cpu: EngineBounds | None = None
    cuda: EngineBounds | None = None

    @model_validator(mode="after")
    def _names_a_device_class(self) -> Self:
        if self.cpu is None and self.cuda is None:
            raise ValueError("must bound cpu, cuda or both, bounds none")
        return self

    def wishes(self) -> dict[DeviceClass, Bounds]:
        """The bounds by device class, of those that are named."""
        named = {name: getattr(self, name) for name in DEVICE_CLASSES}
        return {name: Bounds(own.min, own.max) for name, own in named.items() if own is not None}


class CancelRequest(BaseModel):
    """How a search shall end: at once, after the running levels, or after the running lineages."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    mode: Literal["kill", "after_level", "drain"] = "kill"


async def read_json(request: Request, *, optional: bool = False) -> Any:
    """Read a request's body as strict JSON; an absent optional body is an empty object.

    Raises:
        ApiError: `unsupported_media_type`, `bad_json` or `body_too_large`.
    """
    data = await request.body()
    if optional and not data:
        return {}
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise ApiError("unsupported_media_type", "the body must be application/json in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError("unsupported_media_type", "the body must not be compressed")
    return parse_json(data)


def parse_submission(body: Any) -> Submission:
    """Validate the body of a POST of a search, field by field; grids are not multiplied out.

    Raises:
        ApiError: `invalid_spec`, or `not_supported` for what the catalog knows but this version cannot compute.
    """
    submission = validate(Submission, body)
    missing = [{"pointer": f"/spec{path}", "detail": detail} for path, detail in unsupported(submission.spec)]
    if missing:
        raise refuse("not_supported", missing)
    return submission


def check_size(submission: Submission, max_lineages: int) -> None:
    """Refuse a submission that expands to too many lineages, by a product of lengths.

    Raises:
        ApiError: `too_many_lineages`, naming the count and the bound.
    """
    spec = submission.spec
    if spec.num_lineages <= max_lineages:
        return
    detail = (
        f"{spec.num_settings} settings x {len(spec.replicates)} replicates x {1 + spec.num_control_draws} treatments"
        f" = {spec.num_lineages} lineages; the limit is {max_lineages}"
    )
    errors = [
        {"pointer": f"/spec/{axis.part}/{axis.field}", "detail": f"grid of {len(axis.values)} values"}
        for axis in spec.axes
    ]
    raise ApiError("too_many_lineages", detail, errors=errors)

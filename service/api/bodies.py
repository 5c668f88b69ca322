"""Reading request bodies: media type, strict JSON, and the checks of a submission in the order of their cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from lth_core.catalog import unsupported
from lth_core.spec import Submission
from service.api.errors import ApiError
from service.api.strict_json import parse_json
from service.api.validation import refuse, validate


class KeyRequest(BaseModel):
    """A new API key: for whom, for what, and until when."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    tenant: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
    scopes: Annotated[
        tuple[Literal["read", "write", "admin"], ...], Field(strict=False, min_length=1, max_length=3)
    ] = ("read", "write")
    name: Annotated[str, Field(max_length=120)] = ""
    expires_at: Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})] | None = None


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

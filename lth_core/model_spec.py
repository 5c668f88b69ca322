"""Which network a search trains: a name, and the fields that belong to it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from lth_core.names import ModelName
from lth_core.part import FractionOrZero, Part

RESNET_WIDTH = 16
_WIDE_RESNET = re.compile(r"(resnet_(?:20|32|44|56|110))_([1-9][0-9]{0,3})")


def _allow_widths(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema that a width may stand in the name."""
    name = schema["properties"]["name"]
    wide = {"type": "string", "pattern": f"^{_WIDE_RESNET.pattern}$"}
    schema["properties"]["name"] = {"title": name.pop("title"), "anyOf": [name, wide]}


class ModelSpec(Part):
    """Which network: a name, and the fields that belong to it.

    `sizes` belong to `mlp`: all layers from input to output. `width` belongs to the residual networks for small
    images, `resnet_20` to `resnet_110`: channels of the first stage, also written into the name (`resnet_20_32`).
    `dropout` belongs to `conv_2`, `conv_4` and `conv_6`: the share of hidden fully connected units dropped in
    training. `stem` belongs to `resnet_18` and `resnet_50`. `arch` belongs to `torchvision`: a classification model
    by torchvision's name.
    """

    model_config = ConfigDict(json_schema_extra=_allow_widths)

    name: ModelName
    sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65_536)], ...] | None,
        Field(strict=False, min_length=2, max_length=32),
    ] = None
    width: Annotated[int, Field(ge=1, le=1024)] = RESNET_WIDTH
    dropout: FractionOrZero = 0.0
    stem: Literal["cifar", "imagenet"] = "cifar"
    arch: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _width_in_the_name(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("name"), str) and "width" not in raw:
            wide = _WIDE_RESNET.fullmatch(raw["name"])
            if wide:
                return {**raw, "name": wide[1], "width": int(wide[2])}
        return raw

    @model_validator(mode="after")
    def _fields_belong_to_their_model(self) -> Self:
        if self.name == "mlp" and self.sizes is None:
            raise ValueError("model mlp needs its sizes, input and output included, e.g. [784, 300, 100, 10]")
        if self.name != "mlp" and self.sizes is not None:
            raise ValueError(f"sizes belong to model mlp only, not to {self.name}")
        small_resnets = ("resnet_20", "resnet_32", "resnet_44", "resnet_56", "resnet_110")
        if self.width != RESNET_WIDTH and self.name not in small_resnets:
            raise ValueError(f"width belongs to {', '.join(small_resnets)}, not to {self.name}")
        if self.dropout and self.name not in ("conv_2", "conv_4", "conv_6"):
            raise ValueError(f"dropout belongs to conv_2, conv_4, conv_6, not to {self.name}")
        if self.stem != "cifar" and self.name not in ("resnet_18", "resnet_50"):
            raise ValueError(f"stem belongs to resnet_18, resnet_50, not to {self.name}")
        if (self.arch is None) == (self.name == "torchvision"):
            raise ValueError(f"arch names the model exactly if the model is torchvision, got {self.arch!r}")
        return self

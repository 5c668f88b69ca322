"""What is trained under a ticket's mask instead of the ticket, and where a transferred ticket comes from."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from lth_core.model_spec import ModelSpec
from lth_core.names import TreatmentName
from lth_core.part import Part


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Treatment(Part):
    """A control: what is trained under the ticket's mask instead of the ticket, and how many draws of it."""

    name: TreatmentName
    repeats: Annotated[int, Field(ge=1, le=32)] = 1
    sigma: Annotated[float, Field(gt=0, le=100)] = 1.0
    rescaled: bool = False

    @model_validator(mode="after")
    def _fields_belong_to_their_treatment(self) -> Self:
        if self.sigma != 1.0 and self.name != "noise":
            raise ValueError(f"sigma belongs to treatment noise, not to {self.name}")
        if self.rescaled and self.name != "signed_constant":
            raise ValueError(f"rescaled belongs to treatment signed_constant, not to {self.name}")
        return self

    @property
    def label(self) -> str:
        """The name with the options that differ from their defaults, such as `noise[sigma=3.0]`."""
        options = (["rescaled"] if self.rescaled else []) + ([f"sigma={self.sigma}"] if self.sigma != 1.0 else [])
        return f"{self.name}[{','.join(options)}]" if options else self.name

    @classmethod
    def of_label(cls, label: str) -> Self:
        """Read a treatment back from its label.

        Raises:
            ValueError: If it is no label of a treatment.
        """
        name, _, rest = label.removesuffix("]").partition("[")
        options: dict[str, Any] = {}
        for option in filter(None, rest.split(",")):
            field, _, value = option.partition("=")
            options[field] = float(value) if value else True
        return cls.model_validate({"name": name, **options})


TreatmentOrName = Annotated[Treatment, BeforeValidator(_named, json_schema_input_type=TreatmentName | Treatment)]


class TicketInit(Part):
    """Where a transferred ticket comes from: one found by this service, or an upload; one of the two."""

    ticket: Annotated[str, Field(pattern=r"^tkt_[0-7][0-9A-HJKMNP-TV-Z]{25}$")] | None = None
    upload: Annotated[str, Field(pattern=r"^upl_[0-7][0-9A-HJKMNP-TV-Z]{25}$")] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.ticket is None) == (self.upload is None):
            raise ValueError("init names a ticket or an upload, exactly one of the two")
        return self


class Origin(Part):
    """What a transferred ticket is made of, resolved at submission: digests of stored bytes, and its network.

    Attributes:
        mask_sha256: Blob of the packed mask.
        rewind_sha256: Blob of the weights as safetensors.
        model: The network it was found in; must be the search's.
        in_shape: Shape of one example it was found on, channels first.
        num_classes: Size of its output layer.
    """

    mask_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    rewind_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    model: ModelSpec
    in_shape: Annotated[tuple[int, ...], Field(strict=False)]
    num_classes: int

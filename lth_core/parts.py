"""The parts of a search specification, each a frozen record with its bounds and its defaults.

Defaults never change after a release: they stay out of every key, so a changed default would silently
rename stored results.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_INT = 2**53
"""Largest integer that every JSON reader keeps exactly."""

OpenFraction = Annotated[float, Field(gt=0, lt=1)]
FractionOrZero = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,120}$")]

ModelName = Literal[
    "lenet_300_100", "mlp", "conv_2", "conv_4", "conv_6", "resnet_20", "resnet_18", "resnet_50", "vgg_19"
]
MethodName = Literal["imp", "one_shot", "gradual", "snip", "grasp", "synflow"]
Criterion = Literal["magnitude", "large_init", "small_final", "small_init", "magnitude_increase", "movement", "random"]
CountRule = Literal[
    "round", "round_plus_1", "floor", "floor_plus_1", "ceil", "ceil_plus_1", "percentile", "percentile_plus_1"
]
TreatmentName = Literal[
    "random_reinit",
    "random_mask",
    "shuffled_mask",
    "reuse",
    "reuse_sign",
    "signed_constant",
    "noise",
    "identity",
]
Kind = Literal["conv", "fc", "output"]


class Part(BaseModel):
    """Base of every part: immutable, strict about types, closed to unknown fields and to NaN."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> dict[str, Any]:
        """Return the JSON form with every default left out, as keys and digests use it."""
        return self.model_dump(mode="json", exclude_defaults=True)


def is_grid_schema(schema: dict[str, Any]) -> bool:
    """Tell whether a JSON Schema is that of a grid."""
    return "grid" in schema.get("properties", {})


def _allow_grids(schema: dict[str, Any]) -> None:
    """Say in a part's JSON Schema that every scalar may be a grid of 1 to 64 distinct values."""
    for name, scalar in schema.get("properties", {}).items():
        if scalar.get("type") == "array" or any(is_grid_schema(choice) for choice in scalar.get("anyOf", ())):
            continue
        value = {k: v for k, v in scalar.items() if k not in ("default", "title")}
        values = {"type": "array", "items": value, "minItems": 1, "maxItems": 64, "uniqueItems": True}
        grid = {
            "type": "object",
            "properties": {"grid": values},
            "required": ["grid"],
            "additionalProperties": False,
        }
        known = {k: scalar[k] for k in ("default", "title") if k in scalar}
        schema["properties"][name] = {**known, "anyOf": [value, grid]}


class Gridded(Part):
    """Base of the parts whose scalars may be grids; the fields themselves hold one cell."""

    model_config = ConfigDict(json_schema_extra=_allow_grids)


class ModelSpec(Part):
    """Which network: a name, and for `mlp` all layer sizes from input to output."""

    name: ModelName
    sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65_536)], ...] | None,
        Field(strict=False, min_length=2, max_length=32),
    ] = None

    @model_validator(mode="after")
    def _sizes_belong_to_mlp(self) -> Self:
        if self.name == "mlp" and self.sizes is None:
            raise ValueError("model mlp needs its sizes, input and output included, e.g. [784, 300, 100, 10]")
        if self.name != "mlp" and self.sizes is not None:
            raise ValueError(f"sizes belong to model mlp only, not to {self.name}")
        return self


class DatasetSpec(Part):
    """Which registered data set."""

    name: Name


class Train(Gridded):
    """How one level is trained; counts are optimizer steps."""

    optimizer: Literal["adam", "sgd"] = "adam"
    lr: Annotated[float, Field(gt=0, le=10)] = 0.0012
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 60
    steps: Annotated[int, Field(ge=1, le=2_000_000)] = 5000
    eval_every: Annotated[int, Field(ge=1, le=2_000_000)] = 100
    momentum: FractionOrZero = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    warmup_steps: Annotated[int, Field(ge=0, le=2_000_000)] = 0
    milestones: Annotated[
        tuple[Annotated[int, Field(ge=1, le=2_000_000)], ...], Field(strict=False, max_length=32)
    ] = ()
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    test_curve: bool = False


class Prune(Gridded):
    """What is removed between two levels, as shares of the survivors, and by which rule it is counted."""

    fraction: OpenFraction = 0.2
    conv_fraction: FractionOrZero | None = None
    output_fraction: FractionOrZero | None = None
    levels: Annotated[int, Field(ge=1, le=40)] = 5
    criterion: Criterion = "magnitude"
    scope: Literal["layer", "global"] = "layer"
    granularity: Literal["weight", "unit", "channel"] = "weight"
    exclude: Annotated[tuple[LayerName, ...], Field(strict=False, max_length=64)] = ()
    count_rule: CountRule = "round"
    fraction_of: Literal["survivors", "initial_cumulative", "initial_linear"] = "survivors"
    count_base: Literal["in_scope", "all_prunable"] = "in_scope"
    biases: Literal["never", "rank_with_weights", "own_tensor"] = "never"

    def fraction_of_kind(self, kind: Kind) -> float:
        """Return the share of survivors removed per level from tensors of one kind; 0 keeps them whole.

        Layer scope: convolutions take `conv_fraction` (default: `fraction`), the output layer takes
        `output_fraction` (default: half of `fraction`, as in Frankle & Carbin 2019, sections 2 and G.4).
        Global scope: one pool with one `fraction`; a kind whose own fraction is 0 stays out of the pool.
        """
        own = {"conv": self.conv_fraction, "output": self.output_fraction, "fc": None}[kind]
        if own is not None:
            return own
        return self.fraction / 2 if kind == "output" and self.scope == "layer" else self.fraction

    def canonical(self) -> dict[str, Any]:
        """As `Part.canonical`, with kind fractions that merely repeat their default left out too."""
        plain = Prune(**{**dict(self), "conv_fraction": None, "output_fraction": None})
        names: tuple[tuple[str, Kind], ...] = (("conv_fraction", "conv"), ("output_fraction", "output"))
        repeated = {name for name, kind in names if getattr(self, name) == plain.fraction_of_kind(kind)}
        return {k: v for k, v in super().canonical().items() if k not in repeated}


class Rewind(Gridded):
    """Where the survivors go back to after pruning: the weights of an optimizer step (0 = initialisation)."""

    step: Annotated[int, Field(ge=0, le=2_000_000)] = 0
    mode: Literal["weights", "lr", "fine_tune"] = "weights"
    optimizer: Literal["fresh", "restore"] = "fresh"


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Treatment(Part):
    """A control: what is trained under the ticket's mask instead of the ticket, and how many draws of it."""

    name: TreatmentName
    repeats: Annotated[int, Field(ge=1, le=32)] = 1


TreatmentOrName = Annotated[Treatment, BeforeValidator(_named, json_schema_input_type=TreatmentName | Treatment)]


class Rule(Part):
    """The limits by which verdicts are made; accuracies are shares in [0, 1]."""

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.002
    speed_ratio: Annotated[float, Field(gt=0, le=100)] = 1.1
    max_density: Annotated[float, Field(gt=0, le=1)] = 0.5
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class Scheduler(Part):
    """Which settings may stop early: `fifo` runs all, `asha` keeps the best share at each rung of levels."""

    name: Literal["fifo", "asha"] = "fifo"
    grace_levels: Annotated[int, Field(ge=1, le=40)] = 1
    reduction_factor: Annotated[int, Field(ge=2, le=16)] = 2


class Budget(Part):
    """How much may be spent, and how many lineages may fail, before the search ends."""

    max_failed_lineages: Annotated[int, Field(ge=0, le=MAX_INT)] = 0
    max_gpu_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None
    deadline_s: Annotated[float, Field(gt=0, le=1e9)] | None = None


class Resources(Part):
    """What one lineage trains on; `threads` changes bits on a CPU and is part of its identity."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=16)] = 1

"""The parts of a search specification, each a frozen record with its bounds and its defaults.

Defaults never change after a release: they stay out of every key, so a changed default would silently
rename stored results.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lth_core.names import CountRule, Criterion, EngineWish, Kind, NormalisationKind
from lth_core.part import MAX_INT, FractionOrZero, Gridded, LayerName, Name, OpenFraction, Part


class DatasetSpec(Part):
    """Which registered data set, and what its bytes become before a network sees them.

    `normalisation`: see `lth_core.names.NormalisationKind`.
    """

    name: Name
    normalisation: NormalisationKind = "standard"


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
    schedule: Literal["step", "cosine", "constant"] = "step"
    weight_decay_mode: Literal["coupled", "decoupled"] = "coupled"
    label_smoothing: FractionOrZero = 0.0
    flip: bool = False
    crop_padding: Annotated[int, Field(ge=0, le=64)] = 0


class Prune(Gridded):
    """What is removed between two levels, as shares of the survivors, and by which rule it is counted.

    `densities` names the kept share of each level 1, 2, ... outright, for methods that do not iterate;
    `layer_densities` says how `random_at_init` spreads it over layers; `score_batches` is how many training batches
    `snip` and `grasp` look at. `begin_step`, `end_step` (None: three quarters of the training), `every` and
    `initial_sparsity` shape `gradual`.
    """

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
    densities: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False, max_length=40)] = ()
    layer_densities: Literal["uniform", "er", "erk"] = "uniform"
    score_batches: Annotated[int, Field(ge=1, le=1000)] = 1
    begin_step: Annotated[int, Field(ge=0, le=2_000_000)] = 0
    end_step: Annotated[int, Field(ge=1, le=2_000_000)] | None = None
    every: Annotated[int, Field(ge=1, le=2_000_000)] = 100
    initial_sparsity: FractionOrZero = 0.0

    @model_validator(mode="before")
    @classmethod
    def _one_level_per_density(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("densities"), list | tuple) and raw["densities"]:
            num = len(raw["densities"])
            if raw.get("levels", num) != num and raw.get("levels") != cls.model_fields["levels"].default:
                raise ValueError(f"levels must be the number of densities, {num}, or be left out, got {raw['levels']}")
            return {**raw, "levels": num}
        return raw

    @model_validator(mode="after")
    def _densities_fall(self) -> Self:
        if list(self.densities) != sorted(set(self.densities), reverse=True):
            raise ValueError(f"densities must fall from level to level, got {list(self.densities)}")
        return self

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
    """Where the survivors go back to after pruning.

    `weights`: to the weights of an optimizer step (0 = initialisation), and the schedule with them. `lr`: the trained
    weights stay, only the schedule and the data order go back to the step (learning-rate rewinding; from step 0 it is
    the paper's continued training). `fine_tune`: the trained weights stay and train on at the last learning rate for
    as many steps. `epoch` says the step in epochs of the data set; `optimizer` says what becomes of the optimizer's
    state: fresh, or as it was at the step.
    """

    epoch: Annotated[int, Field(ge=0, le=100_000)] | None = None
    step: Annotated[int, Field(ge=0, le=2_000_000)] = 0
    mode: Literal["weights", "lr", "fine_tune"] = "weights"
    optimizer: Literal["fresh", "restore"] = "fresh"


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
    """What one lineage trains on; `threads` changes bits on a CPU and is part of its identity.

    `engine` says who trains: by default the fastest engine that the network and the device have, else the reference,
    plain autograd, by which all others are judged. `pack` trains in lockstep on a CPU too, as GPUs do by default.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=16)] = 1
    engine: EngineWish = "auto"

"""From a specification to its lineages: what one lineage is, and the list of them a search plans."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from lth_core.architecture import TensorSpec, architecture
from lth_core.cells import SpecError
from lth_core.engines.choice import NUMERICS_OF, EngineKind, engine_of
from lth_core.keys import dense_key, lineage_key
from lth_core.model_spec import ModelSpec
from lth_core.names import FROM_LEVEL_0, EngineWish, MethodName, NormalisationKind
from lth_core.origins import check_transfer
from lth_core.part import Part
from lth_core.parts import Prune, Resources, Rewind, Train
from lth_core.spec import SearchSpec, Setting
from lth_core.targets import refuse_impossible
from lth_core.treatments import Origin, Treatment

WINNING_TICKET = "winning_ticket"
DeviceClass = Literal["cpu", "cuda"]
Shape = Annotated[tuple[int, ...], Field(strict=False)]


class DatasetInfo(Part):
    """A registered data set as the planning sees it: its digest and the shape of one example, channels first."""

    name: str
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    shape: Shape
    num_classes: int
    num_train: int
    num_test: int


class LineageSpec(Part):
    """One lineage, complete: everything an engine needs to compute any of its levels from stored bytes."""

    model: ModelSpec
    dataset_name: str
    dataset_digest: str
    normalisation: NormalisationKind = "standard"
    in_shape: Shape
    num_classes: int
    train: Train
    prune: Prune
    rewind: Rewind
    method: MethodName = "imp"
    origin: Origin | None = None
    treatment: str = WINNING_TICKET
    repeat: int = 0
    replicate: int
    device_class: DeviceClass = "cpu"
    threads: int = 1
    engine: EngineWish = "auto"
    keep: Literal["masks", "tickets", "all"] = "tickets"

    def tensors(self) -> tuple[TensorSpec, ...]:
        """The network's parameters in state_dict order."""
        return architecture(self.model, self.in_shape, self.num_classes)

    def identity(self) -> dict[str, Any]:
        """Return what was computed, for the key: never `levels`, `keep`, or anything of the search around it."""
        prune = self.prune.canonical()
        prune.pop("levels", None)
        chain = [WINNING_TICKET] if self.treatment == WINNING_TICKET else [WINNING_TICKET, self.treatment]
        identity = {
            **self.dense_identity(),
            "numerics": NUMERICS_OF[self.trained_by],
            "prune": prune,
            "rewind": self.rewind.canonical(),
            "treatment": chain,
            "repeat": self.repeat,
        }
        return identity if self.method == "imp" else {**identity, "method": self.method}

    def dense_identity(self) -> dict[str, Any]:
        """Return what level 0 depends on: no pruning, no treatment, and of rewinding only the step it records."""
        device: dict[str, Any] = {"class": self.device_class}
        if self.device_class == "cpu":
            device["threads"] = self.threads  # on a CPU the number of threads changes the bits
        normalisation = {} if self.normalisation == "standard" else {"normalisation": self.normalisation}
        identity = {
            "model": self.model.canonical(),
            "dataset": {"name": self.dataset_name, "digest": self.dataset_digest, **normalisation},
            "train": self.train.canonical(),
            "rewind": self.recorded_point(),
            "replicate": self.replicate,
            "device": device,
            "numerics": NUMERICS_OF[self.dense_trained_by],
        }
        return identity if self.origin is None else {**identity, "origin": self.origin.canonical()}

    @property
    def dense_trained_by(self) -> EngineKind:
        """Which engine is to train the dense network."""
        return engine_of(self.model, self.train, self.device_class, wanted=self.engine)

    @property
    def trained_by(self) -> EngineKind:
        """Which engine is to train the levels that are this lineage's own."""
        return engine_of(
            self.model,
            self.train,
            self.device_class,
            held=self.treatment == "frozen",
            tightens=self.method == "gradual" and self.treatment in (WINNING_TICKET, "identity"),
            wanted=self.engine,
        )

    def recorded_point(self) -> dict[str, Any]:
        """Return what level 0 records for later levels, defaults left out: the step, and whether the optimizer too."""
        step = {"step": self.rewind.step} if self.rewind.step else {}
        return {**step, "optimizer": "restore"} if self.rewind.optimizer == "restore" else step

    @property
    def carries_weights(self) -> bool:
        """Whether a level of the chain starts from the trained weights of the level before it."""
        return self.rewind.mode != "weights" and self.treatment == WINNING_TICKET


@dataclass(frozen=True)
class PlannedLineage:
    """A lineage with its place in a search: its keys, its setting, and the chain a control takes masks from."""

    spec: LineageSpec
    key: str
    dense_key: str
    setting_index: int
    setting: dict[str, Any]
    source_key: str | None

    @cached_property
    def first_level(self) -> int:
        """0 for the chain that finds masks and for controls of the dense network too, 1 for the other controls."""
        from_dense = Treatment.of_label(self.spec.treatment).name in FROM_LEVEL_0 if self.source_key else True
        return 0 if from_dense else 1

    @property
    def num_levels(self) -> int:
        """Levels it will have, the first one counted."""
        return self.spec.prune.levels + 1 - self.first_level

    def key_of_level(self, level: int) -> str:
        """The key under which a level is stored; level 0 lies under the dense key, unless a control has its own."""
        has_own = self.source_key is not None and self.first_level == 0
        return self.dense_key if level == 0 and not has_own else self.key


def expand(
    spec: SearchSpec,
    *,
    tenant: str,
    dataset: DatasetInfo,
    resources: Resources,
    device_class: DeviceClass,
    origin: Origin | None = None,
) -> tuple[PlannedLineage, ...]:
    """List a search's lineages: by setting, then replicate, the ticket's chain first and its controls after it.

    Rewinding to an epoch becomes rewinding to its step here, so that both ways of saying it have one key.

    Raises:
        SpecError: If a cell does not fit, two cells describe one computation, or the network does not fit the data.
    """
    spec.check()
    planned: list[PlannedLineage] = []
    owners: dict[str, int] = {}
    for setting in spec.settings():
        for replicate in spec.replicates:
            chain = _lineage(spec, setting, replicate, dataset, resources, device_class, origin)
            chain_key = lineage_key(tenant, chain)
            if (other := owners.setdefault(chain_key, setting.index)) != setting.index:
                raise SpecError("/prune", f"cells {other} and {setting.index} of the grid describe one computation")
            dense = dense_key(tenant, chain)
            planned.append(PlannedLineage(chain, chain_key, dense, setting.index, setting.cell, None))
            for treatment in spec.treatments:
                for repeat in range(treatment.repeats):
                    control = chain.model_copy(update={"treatment": treatment.label, "repeat": repeat})
                    key = lineage_key(tenant, control)
                    planned.append(PlannedLineage(control, key, dense, setting.index, setting.cell, chain_key))
    return tuple(planned)


def fits(spec: SearchSpec, dataset: DatasetInfo, origin: Origin | None = None) -> tuple[TensorSpec, ...]:
    """Check that network, training and pruning fit the data set, and return the network's tensors.

    Args:
        spec: The search.
        dataset: Its data set.
        origin: The ticket that is transferred; None where it is not resolved yet, or none is.

    Raises:
        SpecError: Naming the field, its bound and its value, and what is possible.
    """
    try:
        tensors = architecture(spec.model, dataset.shape, dataset.num_classes)
    except ValueError as error:
        raise SpecError("/model", str(error)) from error
    layers = {tensor.name.removesuffix(".weight") for tensor in tensors if tensor.prunable}
    for i, name in enumerate(spec.prune.exclude):
        if name.removesuffix(".weight") not in layers:
            raise SpecError(f"/prune/exclude/{i}", f"must be one of {', '.join(sorted(layers))}, got {name!r}")
    if origin is not None:
        check_transfer(spec.model, tensors, dataset, origin)
    num_fit = dataset.num_train - num_validation(dataset.num_train)
    for setting in spec.settings():
        refuse_impossible(spec.model, tensors, setting.prune, spec.method)
        if setting.train.batch_size > num_fit:
            detail = f"must be <= the {num_fit} training examples of {dataset.name}, got {setting.train.batch_size}"
            raise SpecError("/train/batch_size", detail)
        _rewind_at_step(setting, dataset)
    return tensors


def steps_per_epoch(train: Train, num_train: int) -> int:
    """Return the optimizer steps of one epoch: the short last batch is dropped."""
    return (num_train - num_validation(num_train)) // train.batch_size


def _rewind_at_step(setting: Setting, dataset: DatasetInfo) -> Rewind:
    """Return where a setting rewinds to as a step.

    Raises:
        SpecError: If the epoch lies beyond the training.
    """
    rewind, train = setting.rewind, setting.train
    if rewind.epoch is None:
        return rewind
    per_epoch = steps_per_epoch(train, dataset.num_train)
    step = rewind.epoch * per_epoch
    if step >= train.steps:
        last = (train.steps - 1) // per_epoch
        detail = f"must be <= {last}: {train.steps} steps are {per_epoch} per epoch, got {rewind.epoch}"
        raise SpecError("/rewind/epoch", detail)
    return rewind.model_copy(update={"epoch": None, "step": step})


def num_validation(num_train: int) -> int:
    """Return how many training examples become validation: 5,000, or a tenth of a set under 50,000."""
    return 5000 if num_train >= 50_000 else num_train // 10


def _lineage(
    spec: SearchSpec,
    setting: Setting,
    replicate: int,
    dataset: DatasetInfo,
    resources: Resources,
    device_class: DeviceClass,
    origin: Origin | None,
) -> LineageSpec:
    return LineageSpec(
        model=spec.model,
        dataset_name=dataset.name,
        dataset_digest=dataset.digest,
        normalisation=spec.dataset.normalisation,
        in_shape=dataset.shape,
        num_classes=dataset.num_classes,
        train=setting.train,
        prune=setting.prune,
        rewind=_rewind_at_step(setting, dataset),
        method=spec.method,
        origin=origin,
        replicate=replicate,
        device_class=device_class,
        threads=resources.threads,
        engine=resources.engine,
        keep=spec.keep,
    )

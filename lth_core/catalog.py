"""What this version can run: the known names of every choice, which are supported, and their JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from lth_core.model_spec import ModelSpec
from lth_core.names import CountRule, Criterion, MethodName, ModelName, TreatmentName
from lth_core.part import Part
from lth_core.parts import Budget, Prune, Resources, Rewind, Rule, Scheduler, Train
from lth_core.spec import SearchSpec
from lth_core.treatments import TicketInit, Treatment

MASK_FORMATS = ("packed", "safetensors", "npz", "torch_prune", "open_lth")
"""Forms in which a mask can be downloaded; the last two are made by a worker."""

SUPPORTED: dict[str, frozenset[str]] = {
    "model": frozenset(get_args(ModelName)),
    "method": frozenset(get_args(MethodName)),
    "treatments": frozenset(get_args(TreatmentName)),
    "prune.criterion": frozenset(get_args(Criterion)),
    "prune.scope": frozenset({"layer", "global"}),
    "prune.granularity": frozenset({"weight"}),
    "prune.count_rule": frozenset(get_args(CountRule)),
    "prune.fraction_of": frozenset({"survivors"}),
    "prune.count_base": frozenset({"in_scope"}),
    "prune.biases": frozenset({"never"}),
    "prune.layer_densities": frozenset({"uniform", "er", "erk"}),
    "rewind.mode": frozenset({"weights", "lr", "fine_tune"}),
    "rewind.optimizer": frozenset({"fresh", "restore"}),
    "train.optimizer": frozenset({"adam", "sgd"}),
    "train.schedule": frozenset({"step", "cosine", "constant"}),
    "train.weight_decay_mode": frozenset({"coupled", "decoupled"}),
    "train.precision": frozenset({"float32"}),
    "scheduler.name": frozenset({"fifo", "asha"}),
}


def known(choice: str) -> tuple[str, ...]:
    """Return every name a specification accepts for a choice such as `prune.scope`, supported or not."""
    literals: dict[str, Any] = {
        "model": ModelName,
        "method": MethodName,
        "treatments": TreatmentName,
        "prune.criterion": Criterion,
        "prune.count_rule": CountRule,
    }
    if choice in literals:
        return get_args(literals[choice])
    part, field = choice.split(".")
    parts: dict[str, type[Part]] = {"train": Train, "prune": Prune, "rewind": Rewind, "scheduler": Scheduler}
    cls = parts[part]
    return get_args(cls.model_fields[field].annotation)


def unsupported(spec: SearchSpec) -> Iterator[tuple[str, str]]:
    """Yield every choice of a specification that is known but not computed by this version.

    Yields:
        The JSON pointer relative to the specification, and a sentence naming the value and what is supported.
    """
    chosen: list[tuple[str, str, str]] = [
        ("model", "/model/name", spec.model.name),
        ("method", "/method", spec.method),
        ("scheduler.name", "/scheduler/name", spec.scheduler.name),
    ]
    chosen += [("treatments", f"/treatments/{i}", t.name) for i, t in enumerate(spec.treatments)]
    for choice in SUPPORTED:
        part, _, field = choice.partition(".")
        if part in ("train", "prune", "rewind"):
            on_axis = [axis.values for axis in spec.axes if axis.name == choice]
            values = on_axis[0] if on_axis else (getattr(getattr(spec, part), field),)
            chosen += [(choice, f"/{part}/{field}", value) for value in values]
    for choice, pointer, value in chosen:
        if value not in SUPPORTED[choice]:
            names = ", ".join(sorted(SUPPORTED[choice]))
            yield pointer, f"{value!r} is known but not supported by this version; supported: {names}"


def catalog() -> dict[str, Any]:
    """Return the legal values of every choice, each with whether it is supported, and the parts' JSON Schemas."""
    choices = {
        choice: [{"name": name, "supported": name in supported} for name in known(choice)]
        for choice, supported in SUPPORTED.items()
    }
    parts = (Train, Prune, Rewind, Rule, Scheduler, Treatment, Budget, Resources)
    schemas = {cls.__name__.lower(): cls.model_json_schema() for cls in parts}
    schemas |= {"model": ModelSpec.model_json_schema(), "init": TicketInit.model_json_schema()}
    return {"object": "catalog", "choices": choices, "formats": list(MASK_FORMATS), "schemas": schemas}

"""What makes one cell of a search's grid possible: parts that are each legal must also fit together."""

from __future__ import annotations

from lth_core.names import AT_INIT, MethodName
from lth_core.parts import Prune, Rewind, Train


class SpecError(ValueError):
    """A specification that no single field check can refuse; `pointer` is relative to the specification."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


def check_cell(train: Train, prune: Prune, rewind: Rewind, method: MethodName = "imp") -> None:
    """Refuse parts that are each legal but do not fit together.

    Raises:
        SpecError: Naming the field, its bound and its value.
    """
    if train.eval_every > train.steps:
        raise SpecError("/train/eval_every", f"must be <= steps ({train.steps}), got {train.eval_every}")
    if rewind.step >= train.steps:
        raise SpecError("/rewind/step", f"must be < train.steps ({train.steps}), got {rewind.step}")
    if train.warmup_steps > train.steps:
        raise SpecError("/train/warmup_steps", f"must be <= steps ({train.steps}), got {train.warmup_steps}")
    if list(train.milestones) != sorted(set(train.milestones)):
        raise SpecError("/train/milestones", f"must ascend without repeats, got {list(train.milestones)}")
    if train.milestones and train.milestones[-1] >= train.steps:
        raise SpecError(
            "/train/milestones", f"must lie before the last step ({train.steps}), got {train.milestones[-1]}"
        )
    if train.optimizer == "adam" and train.momentum > 0:
        raise SpecError("/train/momentum", f"belongs to optimizer sgd; with adam it must be 0, got {train.momentum}")
    if prune.scope == "global":
        for name in ("conv_fraction", "output_fraction"):
            if (own := getattr(prune, name)) not in (None, 0, prune.fraction):
                raise SpecError(
                    f"/prune/{name}",
                    f"with scope global one fraction serves the pool: must be 0 or {prune.fraction}, got {own}",
                )
    _check_schedule(train)
    _check_rewind(rewind, method)
    _check_method(train, prune, method)


def _check_schedule(train: Train) -> None:
    if train.schedule != "step" and train.milestones:
        raise SpecError("/train/milestones", f"belong to schedule step, not to {train.schedule}")


def _check_rewind(rewind: Rewind, method: MethodName) -> None:
    if rewind.epoch is not None and rewind.step:
        raise SpecError("/rewind/epoch", f"says the step in epochs: leave step out, got step {rewind.step}")
    if rewind.optimizer == "restore" and (rewind.mode != "weights" or not (rewind.step or rewind.epoch)):
        raise SpecError(
            "/rewind/optimizer", "restore needs mode weights and a step or epoch above 0: at step 0 the state is fresh"
        )
    if method != "imp" and rewind.mode != "weights":
        raise SpecError("/rewind/mode", f"must be weights with method {method}, got {rewind.mode!r}; imp knows all")


GRADUAL_FIELDS = ("begin_step", "end_step", "every", "initial_sparsity")


def _check_method(train: Train, prune: Prune, method: MethodName) -> None:
    """Refuse options that belong to another method, so that nothing is accepted and ignored."""

    def only(fields: tuple[str, ...], methods: frozenset[str]) -> None:
        for field in fields:
            default = Prune.model_fields[field].default
            if getattr(prune, field) != default and method not in methods:
                names = ", ".join(sorted(methods))
                raise SpecError(f"/prune/{field}", f"belongs to method {names}, not to {method}")

    only(GRADUAL_FIELDS, frozenset({"gradual"}))
    only(("score_batches",), frozenset({"snip", "grasp"}))
    only(("layer_densities",), frozenset({"random_at_init"}))
    only(("densities",), AT_INIT | {"one_shot", "gradual"})
    only(("criterion",), frozenset({"imp", "one_shot", "gradual"}))
    if prune.layer_densities != "uniform" and not prune.densities:
        raise SpecError("/prune/densities", f"must be named for layer_densities {prune.layer_densities}")
    if method == "gradual":
        end = gradual_end_step(train, prune)
        if not prune.begin_step < end <= train.steps:
            detail = f"must be > begin_step ({prune.begin_step}) and <= train.steps ({train.steps}), got {end}"
            raise SpecError("/prune/end_step", detail)
        if prune.criterion != "magnitude":
            raise SpecError("/prune/criterion", f"must be magnitude with method gradual, got {prune.criterion!r}")
    if method == "transfer" and prune.levels != 1:
        raise SpecError("/prune/levels", f"must be 1 with method transfer: the ticket itself, got {prune.levels}")


def gradual_end_step(train: Train, prune: Prune) -> int:
    """Return the step at which gradual pruning reaches its target: three quarters of the training by default."""
    return prune.end_step if prune.end_step is not None else max(prune.begin_step + 1, train.steps * 3 // 4)

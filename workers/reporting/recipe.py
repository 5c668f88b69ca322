"""What a search asked, in full: network, data, training, pruning, rewinding, controls and rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lth_core.architecture import prunable
from lth_core.expansion import LineageSpec, num_validation, steps_per_epoch
from lth_core.labels import label_of
from lth_core.spec import Submission
from workers.reporting import words
from workers.searched import Searched


def recipe(searched: Searched) -> dict[str, Any]:
    """Return the recipe of a search as its first setting has it, and the values of the grid around it."""
    accepted = searched.plan.accepted
    spec, info = accepted.submission.spec, accepted.dataset
    first = searched.plan.lineages[0].spec
    num_fit = info.num_train - num_validation(info.num_train)
    return {
        "model": _model(first),
        "dataset": {
            "name": info.name,
            "digest": info.digest,
            "shape": list(info.shape),
            "num_classes": info.num_classes,
            "num_train": num_fit,
            "num_validation": info.num_train - num_fit,
            "num_test": info.num_test,
        },
        "method": spec.method,
        "train": first.train.model_dump(mode="json"),
        "steps_per_epoch": steps_per_epoch(first.train, info.num_train),
        "prune": first.prune.model_dump(mode="json"),
        "rewind": first.rewind.model_dump(mode="json"),
        "replicates": list(spec.replicates),
        "controls": [{"name": own.label, "repeats": own.repeats} for own in spec.treatments],
        "keep": spec.keep,
        "rule": spec.rule.model_dump(mode="json"),
        "scheduler": spec.scheduler.model_dump(mode="json"),
        "grid": {axis.name: list(axis.values) for axis in spec.axes},
        "device_class": accepted.device_class,
        "threads": accepted.submission.resources.threads,
    }


def body(submission: Submission) -> dict[str, Any]:
    """Return the body that asks the same question again, defaults left out."""
    document: dict[str, Any] = {"name": submission.title, "spec": submission.spec.canonical()}
    for part in ("resources", "budget"):
        own = getattr(submission, part).canonical()
        if own:
            document[part] = own
    return document


def sentences(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the recipe as pairs of a term and what it says."""
    own = document["recipe"]
    model, data = own["model"], own["dataset"]
    shape = " × ".join(map(str, data["shape"]))
    pairs = [
        ("Network", f"{model['name']}, {words.count(model['prunable'])} prunable weights in {model['layers']} layers"),
        (
            "Data",
            f"{data['name']} ({shape}, {data['num_classes']} classes): {words.count(data['num_train'])} training, "
            f"{words.count(data['num_validation'])} validation and {words.count(data['num_test'])} test examples",
        ),
        ("Training", _training(own)),
        ("Pruning", _pruning(own)),
        ("Rewinding", _rewinding(own)),
        ("Replicates", f"{len(own['replicates'])} (seeds {', '.join(map(str, own['replicates']))})"),
        ("Controls", _controls(own)),
        ("Rule", _rule(own["rule"])),
    ]
    if own["grid"]:
        pairs.append(("Grid", "; ".join(f"{name}: {', '.join(map(str, v))}" for name, v in own["grid"].items())))
    return pairs


def _model(lineage: LineageSpec) -> dict[str, Any]:
    tensors = lineage.tensors()
    return {
        **lineage.model.canonical(),
        "name": lineage.model.name if lineage.model.arch is None else f"torchvision {lineage.model.arch}",
        "label": label_of(lineage),
        "prunable": sum(tensor.size for tensor in prunable(tensors)),
        "layers": len(prunable(tensors)),
        "parameters": sum(tensor.size for tensor in tensors),
    }


def _training(own: dict[str, Any]) -> str:
    train = own["train"]
    epochs = train["steps"] / own["steps_per_epoch"]
    text = (
        f"{train['optimizer']}, learning rate {train['lr']:g}, batches of {train['batch_size']}, "
        f"{words.count(train['steps'])} steps ({epochs:.1f} epochs of {words.count(own['steps_per_epoch'])}), "
        f"evaluated every {words.count(train['eval_every'])}"
    )
    extras = []
    if train["momentum"]:
        extras.append(f"momentum {train['momentum']:g}")
    if train["weight_decay"]:
        extras.append(f"weight decay {train['weight_decay']:g} ({train.get('weight_decay_mode', 'coupled')})")
    if train["warmup_steps"]:
        extras.append(f"linear warm-up over {words.count(train['warmup_steps'])} steps")
    if train["milestones"]:
        extras.append(f"rate × {train['gamma']:g} at {', '.join(map(words.count, train['milestones']))}")
    if train.get("schedule", "step") == "cosine":
        extras.append("cosine schedule")
    if train.get("label_smoothing"):
        extras.append(f"label smoothing {train['label_smoothing']:g}")
    if train.get("flip"):
        extras.append("random flips")
    if train.get("crop_padding"):
        extras.append(f"random crops after padding by {train['crop_padding']}")
    return "; ".join([text, *extras])


def _pruning(own: dict[str, Any]) -> str:
    prune = own["prune"]
    if prune.get("densities"):
        targets = ", ".join(f"{density:g}" for density in prune["densities"])
        return f"{own['method']}, to densities {targets}, scope {prune['scope']}"
    of_kinds = [(kind, prune[f"{kind}_fraction"]) for kind in ("conv", "output")]
    kinds = [f"{kind} {fraction:g}" for kind, fraction in of_kinds if fraction is not None]
    fractions = f"{prune['fraction']:g} of the survivors per level" + (f" ({', '.join(kinds)})" if kinds else "")
    whole = f", never {', '.join(prune['exclude'])}" if prune["exclude"] else ""
    return (
        f"{own['method']} by {prune['criterion']}, {fractions}, scope {prune['scope']}, count rule "
        f"{prune['count_rule']}, {prune['levels']} levels{whole}"
    )


def _rewinding(own: dict[str, Any]) -> str:
    rewind = own["rewind"]
    step = words.count(rewind["step"])
    initialisation = "" if rewind["step"] else " (the initialisation)"
    said = {
        "weights": f"survivors return to their weights of step {step}{initialisation}",
        "lr": f"trained weights stay, the schedule goes back to step {step}",
        "fine_tune": "trained weights stay and train on at the last learning rate",
    }[rewind["mode"]]
    return f"{said}; optimizer {'restored' if rewind['optimizer'] == 'restore' else 'fresh'}"


def _controls(own: dict[str, Any]) -> str:
    named = [
        words.treatment_name(one["name"]) + (f" (× {one['repeats']})" if one["repeats"] > 1 else "")
        for one in own["controls"]
    ]
    return ", ".join(named) or "none"


def _rule(rule: dict[str, Any]) -> str:
    return (
        f"accuracy within {100 * rule['margin']:g} pp of dense, early stop at most {rule['speed_ratio']:g} × dense, "
        f"density at most {rule['max_density']:g}, confidence {100 * rule['confidence']:g} %"
    )

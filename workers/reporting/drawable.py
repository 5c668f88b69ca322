"""Which figures a search can be drawn in: their ids, titles and captions, without drawing any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lth_core.expansion import WINNING_TICKET
from workers.reporting import words
from workers.searched import Searched

ALL_SETTINGS = -1


@dataclass(frozen=True)
class Drawable:
    """One figure.

    Attributes:
        id: Its name in `figure-<id>.svg` and `figure-<id>.png`.
        kind: What it shows.
        setting: Whose levels it shows; `ALL_SETTINGS` for all.
        title: A heading.
        caption: What is drawn, in full sentences.
    """

    id: str
    kind: str
    setting: int
    title: str
    caption: str

    def as_json(self) -> dict[str, Any]:
        """Return the figure as a JSON object."""
        return asdict(self)


_BAND = "Lines are means over replicates and draws, bands reach from the smallest to the largest."
CAPTIONS: dict[str, tuple[str, str]] = {
    "accuracy": (
        "Accuracy at early stop",
        f"Test accuracy at the step of minimum validation loss against density. {_BAND} The dotted line is the dense "
        "network.",
    ),
    "early-stop": (
        "Early-stop step",
        f"Step of minimum validation loss against density. {_BAND} A hollow marker says that at least one training "
        "was still improving at its last evaluation.",
    ),
    "accuracy-end": ("Accuracy at the end", f"Test accuracy after the last training step against density. {_BAND}"),
    "difference": (
        "Paired differences",
        "Mean of {main} minus other, paired by replicate, in percentage points of test accuracy; bars are one-sided "
        "{confidence:g} % bounds, unadjusted. Above zero {main} is ahead; the dotted line is the margin below the "
        "dense network that still counts as equal.",
    ),
    "leads": (
        "Replicate by replicate",
        "Lead of {main} over {rival} in every replicate (dots; the line is their mean): accuracy at early stop in "
        "percentage points, and how many times earlier it stops. Numbers above say how many replicates are ahead.",
    ),
    "training": (
        "Accuracy during training",
        "Accuracy against training step at chosen densities, means over replicates with the smallest and largest; "
        "test accuracy where the whole test curve was recorded, validation accuracy otherwise.",
    ),
    "layers": (
        "Density of each layer",
        "Density of every layer against the density of the network, means over replicates; on the dotted line a layer "
        "is pruned as much as the network.",
    ),
    "initial-weights": (
        "Initial weights of survivors",
        "Distribution of the weights before training, W_k of the dense network, of those that survive at chosen "
        "densities; all replicates, each histogram of area 1.",
    ),
    "settings": ("All settings", f"Test accuracy at early stop against density for every setting of the grid. {_BAND}"),
}


def drawable(searched: Searched) -> list[Drawable]:
    """Return the figures that can be drawn from what is committed, in the order of a report."""
    found: list[Drawable] = []
    many = len(searched.settings) > 1
    if many and searched.judged["levels"]:
        found.append(Drawable("settings", "settings", ALL_SETTINGS, *CAPTIONS["settings"]))
    for setting in searched.settings:
        for kind in _kinds(searched, setting):
            title, caption = CAPTIONS[kind]
            name = f"{kind}-s{setting}" if many else kind
            if many:
                title = f"{title}: {words.cell_name(searched.settings[setting][0].setting)}"
            found.append(Drawable(name, kind, setting, title, caption.format(**_terms(searched, setting))))
    return found


def rival(searched: Searched, setting: int) -> str:
    """Return whom the main treatment is compared with replicate by replicate: its first control, else dense."""
    paired = [level.get("paired", {}) for level in searched.judged["levels"] if level["setting"] == setting]
    named = {name for own in paired for name in own}
    controls = [own.label for own in searched.spec.treatments if own.label in named]
    if "random_reinit" in controls:
        return "random_reinit"
    return controls[0] if controls else words.DENSE


def _kinds(searched: Searched, setting: int) -> Iterator[str]:
    levels = [level for level in searched.judged["levels"] if level["setting"] == setting]
    if not levels:
        return
    yield from ("accuracy", "early-stop", "accuracy-end")
    if any(level.get("paired") for level in levels):
        yield from ("difference", "leads")
    yield "training"
    chains = [own for own in searched.settings[setting] if own.source_key is None]
    if any(searched.levels(own)[1:] for own in chains):
        yield from ("layers", "initial-weights")


def _terms(searched: Searched, setting: int) -> dict[str, Any]:
    main = words.treatment_key(WINNING_TICKET, searched.label(setting))
    return {
        "main": f"the {words.treatment_name(main)}",
        "rival": f"the {words.DENSE} network"
        if rival(searched, setting) == words.DENSE
        else words.treatment_name(rival(searched, setting)),
        "confidence": 100 * searched.spec.rule.confidence,
    }

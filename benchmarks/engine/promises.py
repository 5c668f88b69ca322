"""Whether packs keep their promise on a device: a training's bits, alone and under everything that must not matter.

The check is that of the tests (`tests.support.pack_plans.circumstances`); here it runs on the device that is measured,
for every arithmetic, so that no figure counts whose bits depend on neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from lth_core.engines.pack import PackEngine
from lth_core.engines.pack.shape import PackShape, Variant
from tests.support.pack_plans import KINDS, circumstances, subject_of

KEEPS_BITS: dict[Variant, bool] = {"own": True, "branches": True, "bmm": False}
"""Which arithmetic promises that bits do not depend on slot, size of the pack, neighbours or admission."""


def check_all(device: str, say: Callable[[str], None], kinds: tuple[str, ...] = tuple(KINDS)) -> list[dict[str, Any]]:
    """Train every kind of network under every circumstance, by every arithmetic that exists for it.

    Args:
        device: Where it runs.
        say: Hears of each.
        kinds: Kinds of training.

    Returns:
        Per kind and arithmetic what is promised, the digests, which circumstances changed them, and whether the promise
        holds; a failure of the device stands in their place.
    """
    found = []
    for kind in kinds:
        for variant in get_args(Variant):
            if PackShape.of(subject_of(kind), wanted=variant).variant == variant:
                row = {
                    "kind": kind,
                    "variant": variant,
                    "promised": KEEPS_BITS[variant],
                    **_check(kind, variant, device),
                }
                say(f"promise {kind}, {variant}: {'holds' if row['holds'] else 'does not hold'}")
                found.append(row)
    return found


def _check(kind: str, variant: Variant, device: str) -> dict[str, Any]:
    try:
        digests = circumstances(kind, partial(_engine, variant), device)
    except RuntimeError as error:  # what a kernel or a graph raises must not cost the measurements that follow
        return {"error": str(error), "holds": False}
    differing = [name for name, value in digests.items() if value != digests["alone"]]
    return {"digests": digests, "differing": differing, "holds": not (differing and KEEPS_BITS[variant])}


def _engine(variant: Variant, num_slots: int, segment_steps: int) -> PackEngine:
    return PackEngine(num_slots=num_slots, num_branches=num_slots, segment_steps=segment_steps, variant=variant)

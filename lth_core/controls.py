"""Controls: what is trained in the ticket's place, to learn whether its mask or its initialisation matters.

Every draw has a stream of its own, named by the control and the number of the draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError

from lth_core.controls_masks import MASKS
from lth_core.controls_weights import WEIGHTS
from lth_core.errors import UserError
from lth_core.expansion import WINNING_TICKET, LineageSpec
from lth_core.given import Given
from lth_core.masks import Mask, check_mask
from lth_core.names import TreatmentName
from lth_core.streams import Streams, streams_of
from lth_core.treatments import Treatment
from lth_core.weights import Weights

if TYPE_CHECKING:
    from lth_core.data import TensorData


@dataclass(frozen=True)
class Start:
    """Where a lineage starts at a level.

    Attributes:
        mask: What is trained.
        weights: The weights before the first step, unmasked.
        held: Whether pruned weights stay at their start values instead of 0, for ever.
        streams: Which seeds order and augment the training data.
    """

    mask: Mask
    weights: Weights
    held: bool = False
    streams: Streams = field(default_factory=Streams)


def starting_point(
    lineage: LineageSpec,
    level: int,
    mask: Mask,
    rewind: Weights,
    *,
    dense_final: Weights | None = None,
    data: TensorData | None = None,
) -> Start:
    """Return where a lineage starts at a level, from the ticket's mask and W_k.

    A ticket's chain takes both as they are, and so does `identity`, which must equal its parent bit for bit, and
    `reset`: the mask of a chain that keeps its trained weights, on W_k. `frozen` holds pruned weights at W_k instead
    of 0. `reordered` sees other batches and other augmentation. The other treatments make a mask or weights of their
    own: `controls_masks`, `controls_weights`; `random_sparse` makes both.

    Args:
        lineage: A ticket's chain or a control.
        level: 1 or more; 0, under the mask of ones, for controls of the dense network too.
        mask: The ticket's mask at this level.
        rewind: W_k of the dense network, unmasked.
        dense_final: W_T of the dense network; `invert_scores` needs it where the method ranks trained weights.
        data: The data set; `invert_scores` needs it where the method looks at data or at the network.

    Raises:
        UserError: If the treatment is not known, or what it needs is missing.
        ValueError: If the mask does not fit the network.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635; Zhou et al. 2019, arXiv:1905.01067, section 4.2 (frozen); Frankle et
        al. 2020, arXiv:1912.05671, section 2 (reordered).
    """
    mask = check_mask(mask, lineage.tensors())
    if lineage.treatment == WINNING_TICKET:
        return Start(mask, rewind)
    try:
        treatment = Treatment.of_label(lineage.treatment)
    except ValidationError as error:
        known = sorted(get_args(TreatmentName))
        raise UserError(f"treatment must be one of {known}, got {lineage.treatment!r}") from error
    given = Given(lineage, treatment, level, mask, rewind, dense_final, data)
    return Start(
        mask=MASKS[treatment.name](given) if treatment.name in MASKS else mask,
        weights=WEIGHTS[treatment.name](given) if treatment.name in WEIGHTS else rewind,
        held=treatment.name == "frozen",
        streams=streams_of(lineage),
    )

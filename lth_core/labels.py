"""What a search's output may be called: a winning ticket, a matching subnetwork, or a trained sparse network."""

from __future__ import annotations

from typing import Literal

from lth_core.expansion import LineageSpec

Label = Literal["winning", "matching", "trained"]


def label_of(lineage: LineageSpec) -> Label:
    """Return what the network that a chain's levels find is called.

    `winning`: mask and initialisation, trained from step 0. `matching`: mask and the weights of a step k > 0 of the
    dense network. `trained`: the weights carry training under earlier masks (learning-rate rewinding, fine-tuning,
    gradual pruning), so that no level is a ticket at initialisation, however accurate it is.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 1; Frankle et al. 2020, arXiv:1912.05671, section 4;
        Renda et al. 2020, arXiv:2003.02389, section 3.
    """
    if lineage.method == "gradual" or lineage.rewind.mode != "weights":
        return "trained"
    return "matching" if lineage.rewind.step else "winning"

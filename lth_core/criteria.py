"""Criteria: how much a weight is worth keeping, from where it began and where training took it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lth_core.names import Criterion

Scores = npt.NDArray[np.float32]
"""float32; the largest are kept."""


def score(criterion: Criterion, initial: Scores, final: Scores, *, drawn: Callable[[], Scores]) -> Scores:
    """Score the candidates of one scope; those with the lowest scores leave.

    With w_i the rewind weight and w_f the trained one, both float32:

    - `magnitude` abs(w_f), in the literature also large_final; `small_final` -abs(w_f)
    - `large_init` abs(w_i); `small_init` -abs(w_i)
    - `magnitude_increase` abs(w_f) - abs(w_i); `movement` abs(w_f - w_i), a distance, not movement pruning
    - `large_init_large_final` min(F(abs(w_i)), F(abs(w_f))) with F the share of candidates that are not larger: a
      weight passes when both magnitudes lie above one percentile, and ranking this score moves that percentile until
      the count is exact. `small_init_small_final`: the same of -abs(w_i) and -abs(w_f), both below one percentile
    - `..._same_sign`, `..._diff_sign`: the score of `magnitude` (large_final) or `magnitude_increase` where the signs
      of w_i and w_f agree, or differ, and 0 elsewhere; the sign of 0 is 0 and agrees with no other. A weight that
      lost magnitude scores below 0, hence below the weights of the wrong sign
    - `random` uniform in (0, 1)

    Args:
        criterion: Which formula.
        initial: w_i of the candidates, [num_candidates].
        final: w_f of the candidates, [num_candidates].
        drawn: Makes the candidates' uniform numbers; called by `random` only.

    Raises:
        ValueError: If a weight of a candidate is not finite.

    References:
        Zhou et al. 2019, "Deconstructing Lottery Tickets", arXiv:1905.01067, section 3; magnitude: Frankle & Carbin
        2019, arXiv:1803.03635, section 2.
    """
    for weights in (initial, final):
        if not np.isfinite(weights).all():
            raise ValueError("weights of survivors must be finite")
    return drawn() if criterion == "random" else _formula(criterion, initial, final)


def _formula(criterion: Criterion, initial: Scores, final: Scores) -> Scores:
    began, ended, zero = np.abs(initial), np.abs(final), np.float32(0)
    agree = np.sign(initial) == np.sign(final)
    formulas: dict[Criterion, Callable[[], Scores]] = {
        "magnitude": lambda: ended,
        "small_final": lambda: -ended,
        "large_init": lambda: began,
        "small_init": lambda: -began,
        "large_init_large_final": lambda: np.minimum(_normalised_rank(began), _normalised_rank(ended)),
        "small_init_small_final": lambda: np.minimum(_normalised_rank(-began), _normalised_rank(-ended)),
        "magnitude_increase": lambda: ended - began,
        "movement": lambda: np.abs(final - initial),
        "large_final_same_sign": lambda: np.where(agree, ended, zero),
        "large_final_diff_sign": lambda: np.where(agree, zero, ended),
        "magnitude_increase_same_sign": lambda: np.where(agree, ended - began, zero),
        "magnitude_increase_diff_sign": lambda: np.where(agree, zero, ended - began),
    }
    return formulas[criterion]()


def _normalised_rank(values: Scores) -> Scores:
    """Return for each value the share of values that are not larger, in (0, 1]; equal values share one rank."""
    ascending = np.sort(values)
    return (np.searchsorted(ascending, values, side="right") / max(values.size, 1)).astype(np.float32)

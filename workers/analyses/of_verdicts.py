"""The verdicts of a search with the figures they rest on, as stored at its end or as they stand so far."""

from __future__ import annotations

from workers.analyses.findings import Findings
from workers.analyses.stored import Stored

DEFINITIONS = {
    "paper_point": "means over replicates: accuracy not below the dense network's, early stop not later, density at "
    "most rule.max_density",
    "certified": "at least 3 replicates: lower bound of mean(a' - a) above -rule.margin and upper bound of the "
    "geometric mean of j'/j below rule.speed_ratio",
    "matching": "as certified, for a ticket rewound to a step above 0",
    "trained_matches": "lower bound of mean(a' - a) above -rule.margin, for an output whose weights were trained on "
    "under the mask: it is no ticket",
    "initialisation_matters": "against random_reinit: lower bound of the mean accuracy difference above 0, or upper "
    "bound of the geometric mean of j'/j below 1",
    "mask_matters": "the same against shuffled_mask",
    "lost": "upper bound of mean(a' - a) below -rule.margin",
    "not_converged": "validation loss was lowest at the last evaluation, so that j is not defined",
    "bounds": "one-sided, per level, by Student's t over replicates, unadjusted for the number of levels",
    "p_holm": "p adjusted for the levels of its setting by Holm's method; it decides nothing",
    "claim": "the sparsest level that passes on validation, judged once on test",
}
SOURCES = (
    "Frankle & Carbin 2019, arXiv:1803.03635, section 1: paper_point",
    "Holm 1979, Scandinavian Journal of Statistics 6: p_holm",
)


async def verdict_of_search(stored: Stored) -> Findings:
    """Return verdicts, claims and warnings."""
    judged = stored.searched.judged
    names = ("rule", "bounds", "estimators", "levels", "claims", "claim", "warnings")
    results = {name: judged[name] for name in names if name in judged}
    return Findings(DEFINITIONS, SOURCES, results, num_found=len(judged["levels"])).checked()

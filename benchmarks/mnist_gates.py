"""What is claimed of LeNet-300-100 on MNIST, level by level."""

from __future__ import annotations

from statistics import fmean

from benchmarks.gates import Gate, Rows, leads

AT_0211, AT_0036, CLIFF = 7, 15, 20
LEAD_AT_0211 = (0.001, 0.009)
DENSE_BAND = 0.003
LADDER = (
    *(266200, 213060, 170538, 136511, 109282, 87490, 70051, 56094, 44923, 35981, 28823),
    *(23093, 18506, 14834, 11893, 9537, 7650, 6139, 4928, 3958, 3179),
)
"""Kept weights of levels 0 to 20: counts rounded per layer, 0.2 of the hidden and 0.1 of the output survivors."""


def gates_of(rows: Rows) -> dict[str, Gate]:
    """Judge every statement of the claim that the search has the levels for."""
    kept = {level: {row["kept"] for row in rows if row["level"] == level} for level in {row["level"] for row in rows}}
    wrong = {level: sorted(found) for level, found in kept.items() if found != {LADDER[level]}}
    gates = {"ladder_is_exact": Gate(not wrong, {"levels": len(kept), "wrong": wrong})}
    for level in (AT_0211, AT_0036):
        values = leads(rows, level)
        holds = all(value > 0 for value in values) if values else None
        gates[f"ahead_of_reinit_on_every_replicate_at_level_{level}"] = Gate(holds, values)
    low, high = LEAD_AT_0211
    lead = leads(rows, AT_0211)
    gates["mean_lead_in_band_at_level_7"] = Gate(low <= fmean(lead) <= high if lead else None, _mean(lead))
    gap = leads(rows, AT_0036, "dense")
    gates["within_dense_band_at_level_15"] = Gate(abs(fmean(gap)) <= DENSE_BAND if gap else None, _mean(gap))
    cliff = leads(rows, CLIFF, "dense")
    gates["below_dense_at_level_20"] = Gate(fmean(cliff) < 0 if cliff else None, _mean(cliff))
    return gates


def _mean(values: list[float]) -> float | None:
    return round(fmean(values), 6) if values else None

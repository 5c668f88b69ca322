"""Searches with made figures, for tests of judging: no training, every number by hand."""

from __future__ import annotations

from lth_core.expansion import WINNING_TICKET, DatasetInfo, expand
from lth_core.parts import Resources
from lth_core.spec import SearchSpec

INFO = DatasetInfo(name="tiny", digest="0" * 64, shape=(1, 4, 4), num_classes=3, num_train=120, num_test=40)


def planned(**more):
    spec = SearchSpec.model_validate(
        {
            "model": {"name": "mlp", "sizes": [16, 8, 3]},
            "dataset": {"name": "tiny"},
            "prune": {"levels": 2, "fraction": 0.6},
            "treatments": [{"name": "random_reinit", "repeats": 2}, "shuffled_mask"],
            **more,
        }
    )
    return spec, expand(spec, tenant="local", dataset=INFO, resources=Resources(), device_class="cpu")


def core(density, accuracy, step=100, converged=True, val=None):
    metrics = {"early_stop_step": step, "converged": converged}
    for name in ("test_accuracy", "end_test_accuracy"):
        metrics[name] = accuracy
    for name in ("val_accuracy", "end_val_accuracy"):
        metrics[name] = accuracy if val is None else val
    return {"density": density, "kept": round(100 * density), "prunable": 100, "metrics": metrics}


def committed(lineages, *, gain=(0.0, 0.01, 0.01), val_gain=None, densities=(1.0, 0.4, 0.2)):
    """Cores of all lineages: tickets better than dense by `gain`, random_reinit 3 points worse, shuffled equal."""
    cores = {}
    for lineage in lineages:
        for level in range(3):
            base = 0.9 + 0.001 * lineage.spec.replicate
            extra = {WINNING_TICKET: 0.0, "random_reinit": -0.03 + 0.01 * lineage.spec.repeat, "shuffled_mask": 0.0}
            if level >= lineage.first_level:
                drop = extra[lineage.spec.treatment]
                made = core(
                    densities[level],
                    base + gain[level] + drop + 0.0001 * level * lineage.spec.replicate,
                    val=base + (val_gain or gain)[level] + 0.0001 * level * lineage.spec.replicate,
                )
                cores.setdefault(lineage.key_of_level(level), {})[level] = made
    return cores

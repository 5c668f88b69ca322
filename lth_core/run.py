"""A whole search in one process, without services: `python -m lth_core.run SPEC.json --out DIR [--data FILE.npz]`.

The folder gets the artefacts of the service under the same keys; what is committed there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lth_core.catalog import unsupported
from lth_core.data import ARRAY_NAMES, load
from lth_core.errors import UserError
from lth_core.expansion import DatasetInfo, PlannedLineage
from lth_core.local_search import LocalSearch, Manifest
from lth_core.spec import Submission
from lth_core.weights import Array, content_digest


def read_submission(path: Path) -> Submission:
    """Read the body of a POST, or a bare specification.

    Raises:
        ValueError: If it is no JSON, not valid, or asks for what this version does not compute.
    """
    document = json.loads(path.read_bytes())
    if isinstance(document, dict) and "spec" not in document:
        document = {"spec": document}
    submission = Submission.model_validate(document)
    refused = [f"{pointer}: {detail}" for pointer, detail in unsupported(submission.spec)]
    if refused:
        raise UserError("; ".join(refused))
    return submission


def read_arrays(path: Path) -> dict[str, Array]:
    """Read the four arrays of a data set from an npz file, without unpickling anything."""
    with np.load(path, allow_pickle=False) as file:
        return {name: np.ascontiguousarray(file[name]) for name in file.files}


def digits_arrays() -> dict[str, Array]:
    """Return scikit-learn's 1,797 digits, every fifth one for the test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.asarray(bunch.images).astype(np.uint8)[:, np.newaxis]
    labels = np.asarray(bunch.target).astype(np.int64)
    is_test = np.arange(len(labels)) % 5 == 0
    parts = (images[~is_test], labels[~is_test], images[is_test], labels[is_test])
    return dict(zip(ARRAY_NAMES, parts, strict=True))


def describe(name: str, arrays: Mapping[str, Array]) -> DatasetInfo:
    """Describe a data set by its arrays: the largest training label decides the number of classes.

    Raises:
        UserError: If an array is missing.
    """
    if set(arrays) != set(ARRAY_NAMES):
        raise UserError(f"dataset {name} must have the arrays {list(ARRAY_NAMES)}, got {sorted(arrays)}")
    return DatasetInfo(
        name=name,
        digest=content_digest(arrays),
        shape=tuple(arrays["train_images"].shape[1:]),
        num_classes=int(np.max(arrays["train_labels"])) + 1,
        num_train=len(arrays["train_labels"]),
        num_test=len(arrays["test_labels"]),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 a lineage diverged, 2 wrong input."""
    parser = argparse.ArgumentParser(prog="python -m lth_core.run", description=__doc__)
    parser.add_argument("spec", type=Path, help="body of a POST, or the specification alone")
    parser.add_argument("--out", type=Path, required=True, help="folder of the record")
    parser.add_argument("--data", type=Path, help="npz with train_images, train_labels, test_images, test_labels")
    args = parser.parse_args(argv)
    try:
        submission = read_submission(args.spec)
        name = submission.spec.dataset.name
        if args.data is None and name != "digits":
            raise UserError(f"dataset {name} needs --data FILE.npz; only digits comes along")
        arrays = digits_arrays() if args.data is None else read_arrays(args.data)
        info = describe(name, arrays)
        search = LocalSearch(submission, info, load(info, arrays, device=_device(submission)), args.out)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for lineage, manifest in search.run():
        sys.stdout.write(_line(lineage, manifest) + "\n")
        sys.stdout.flush()
    for lineage, level, reason in search.diverged:
        sys.stderr.write(f"{lineage.spec.treatment}, replicate {lineage.spec.replicate}, level {level}: {reason}\n")
    sys.stdout.write(json.dumps({"claim": search.results()["claim"]}) + "\n")
    return 1 if search.diverged else 0


def _device(submission: Submission) -> str:
    wanted = submission.resources.device
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def _line(lineage: PlannedLineage, manifest: Manifest) -> str:
    core = manifest["core"]
    return json.dumps(
        {
            "treatment": lineage.spec.treatment,
            "setting": lineage.setting,
            "replicate": lineage.spec.replicate,
            "repeat": lineage.spec.repeat,
            "level": core["level"],
            "density": core["density"],
            "test_accuracy": core["metrics"]["test_accuracy"],
            "early_stop_step": core["metrics"]["early_stop_step"],
            "mask_sha256": core["digests"]["mask"],
        }
    )


if __name__ == "__main__":
    raise SystemExit(main())

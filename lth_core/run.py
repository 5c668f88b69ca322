"""A whole search in one process, without services: `python -m lth_core.run SPEC.json --out DIR [--data FILE.npz]`.

The folder gets the artefacts of the service under the same keys; what is committed there is not computed again. A
ticket of any such folder is transferred by naming its manifest: `--init DIR/lineages/local/KEY/L003.json`.
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
from lth_core.data import ARRAY_NAMES, TensorData, load
from lth_core.engines.choice import SLOTS_OF
from lth_core.errors import UserError
from lth_core.expansion import DatasetInfo, PlannedLineage
from lth_core.folder import Folder
from lth_core.local_search import LocalSearch, Manifest
from lth_core.manifest import lineage_of
from lth_core.spec import Submission
from lth_core.transfer import Ticket, read_ticket
from lth_core.treatments import Origin
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


def read_origin(path: Path) -> tuple[Origin, Ticket]:
    """Read a committed ticket and what it is, from its manifest and the blobs of the same folder.

    Raises:
        UserError: If its rewind weights were not kept.
        ValueError: If it is no manifest of a folder, or a blob is damaged.
        OSError: If a file is missing.
    """
    manifest = json.loads(path.read_bytes())
    stored = manifest["stored"] if isinstance(manifest, dict) and "core" in manifest else None
    if stored is None or len(path.resolve().parents) < 4:
        raise UserError(f"--init must name the manifest of a committed level, got {path}")
    if "rewind" not in stored:
        raise UserError(f"the rewind weights of {path} were not kept (spec.keep: tickets keeps them)")
    lineage = lineage_of(manifest["core"])
    origin = Origin(
        mask_sha256=stored["mask"]["sha256"],
        rewind_sha256=stored["rewind"]["sha256"],
        model=lineage.model,
        in_shape=lineage.in_shape,
        num_classes=lineage.num_classes,
    )
    root, tenant = path.resolve().parents[3], path.resolve().parents[1].name
    folder = Folder(root, tenant)
    return origin, read_ticket(origin, folder.blob(stored["mask"]), folder.blob(stored["rewind"]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 a lineage diverged, 2 wrong input."""
    parser = argparse.ArgumentParser(prog="python -m lth_core.run", description=__doc__)
    parser.add_argument("spec", type=Path, help="body of a POST, or the specification alone")
    parser.add_argument("--out", type=Path, required=True, help="folder of the record")
    parser.add_argument("--data", type=Path, help="npz with train_images, train_labels, test_images, test_labels")
    default = " and ".join(f"{num} on {device}" for device, num in SLOTS_OF.items())
    parser.add_argument("--slots", type=int, help=f"levels trained at once; default: {default}")
    parser.add_argument("--init", type=Path, help="manifest of the level whose ticket is transferred")
    args = parser.parse_args(argv)
    try:
        submission = read_submission(args.spec)
        name = submission.spec.dataset.name
        if args.data is None and name != "digits":
            raise UserError(f"dataset {name} needs --data FILE.npz; only digits comes along")
        arrays = digits_arrays() if args.data is None else read_arrays(args.data)
        info = describe(name, arrays)
        if (args.init is None) == (submission.spec.method == "transfer"):
            raise UserError("--init names the ticket that method transfer takes over, and belongs to it alone")
        origin = None if args.init is None else read_origin(args.init)
        data = _load(submission, info, arrays)
        num_slots = SLOTS_OF[data.device.type] if args.slots is None else args.slots
        search = LocalSearch(submission, info, data, args.out, origin, num_slots=num_slots)
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


def _load(submission: Submission, info: DatasetInfo, arrays: Mapping[str, Array]) -> TensorData:
    return load(info, arrays, device=_device(submission), normalisation=submission.spec.dataset.normalisation)


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

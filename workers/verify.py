"""The verifier: recomputes from stored bytes what a ticket claims; `python -m workers.verify TICKET_ID`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from service.settings import Settings
from service.store.errors import NotFound, RecordError
from service.store.record import Record
from workers.checks_record import check_count_rule, check_counts, check_digests, check_manifests, check_nesting
from workers.checks_training import check_curves, check_end_accuracy, check_retrain, check_start_accuracy
from workers.checks_verdicts import check_verdicts
from workers.checks_weights import check_control, check_pruned, check_rewind, check_selection
from workers.evidence import Evidence
from workers.gathering import gather
from workers.report import Check, Failed, Report, run_check

EXIT_UNREACHABLE = 1
EXIT_NOT_FOUND = 7
EXIT_FAILED = 9

CHECKS = {
    "manifests": check_manifests,
    "digests": check_digests,
    "counts": check_counts,
    "count rule": check_count_rule,
    "nesting": check_nesting,
    "selection": check_selection,
    "control": check_control,
    "rewind weights": check_rewind,
    "pruned weights": check_pruned,
    "curves": check_curves,
    "accuracy at the start": check_start_accuracy,
    "accuracy at the end": check_end_accuracy,
    "verdicts": check_verdicts,
    "retraining": check_retrain,
}
"""Every check by its name, in the order of the report."""


def verify_evidence(ticket_id: str, evidence: Evidence, *, retrain: bool = False) -> Report:
    """Make all checks on what was read of a ticket.

    Args:
        ticket_id: Which ticket it is.
        evidence: What was read.
        retrain: Also train the level again, which takes as long as it took.
    """
    left_out = {"control"} if not evidence.is_control else set()
    if not retrain:
        left_out.add("retraining")
    chosen = {name: check for name, check in CHECKS.items() if name not in left_out}
    return Report(ticket_id, tuple(run_check(name, partial(check, evidence)) for name, check in chosen.items()))


async def verify_ticket(record: Record, tenant: str, ticket_id: str, *, retrain: bool = False) -> Report:
    """Verify one ticket from the stored bytes of all its levels.

    Args:
        record: The record.
        tenant: Whose ticket it is.
        ticket_id: Which one.
        retrain: Also train the level again.

    Returns:
        One line per check; a ticket whose record cannot be read at all has the one line `record`, failed.

    Raises:
        NotFound: If the tenant has no such ticket.
    """
    try:
        evidence = await gather(record, tenant, ticket_id)
    except Failed as reason:
        return Report(ticket_id, (Check("record", "fail", str(reason)),))
    return await asyncio.to_thread(verify_evidence, ticket_id, evidence, retrain=retrain)


async def _verify(options: argparse.Namespace) -> Report:
    record = await Record.open(Settings(), check=False)
    try:
        return await verify_ticket(record, options.tenant, options.ticket, retrain=options.retrain)
    finally:
        await record.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 verified, 1 unreachable, 7 unknown ticket, 9 failed."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as engines have it; CUDA reads it when it starts
    errors = Console(stderr=True, soft_wrap=True)
    try:
        report = asyncio.run(_verify(options))
    except NotFound:
        errors.print(f"no ticket {options.ticket}", style="red", markup=False, highlight=False)
        return EXIT_NOT_FOUND
    except RecordError as error:
        errors.print(f"record: {error}", style="red", markup=False, highlight=False)
        return EXIT_UNREACHABLE
    if options.json:
        sys.stdout.write(json.dumps(report.as_json()) + "\n")
    else:
        Console().print(report.as_table())
    return 0 if report.ok else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.verify", description=__doc__)
    parser.add_argument("ticket", metavar="TICKET_ID")
    parser.add_argument("--tenant", default="local", help="whose ticket it is (default: local)")
    parser.add_argument("--retrain", action="store_true", help="also train the level again and compare the bits")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())

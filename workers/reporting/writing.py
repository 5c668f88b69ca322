"""The report in words: which sections it has, and what stands in each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from workers.reporting import recipe, words
from workers.reporting.bibtex import bibtex
from workers.reporting.blocks import Block, Bullets, Code, Drawing, Notice, Section, Table, Terms, Text, Written
from workers.reporting.tables import ACCURACIES, figure_table, layer_table, paired_table, step_table, verdict_table

Document = Mapping[str, Any]
MAX_SHOWN = 50
"""Rows of lists that have no end of their own; the JSON report has them all."""


def write(document: Document) -> Written:
    """Put a report into words."""
    search = document["search"]
    own = document["recipe"]
    subtitle = f"Lottery ticket search of {own['model']['name']} on {own['dataset']['name']} · {search['id']}"
    many = len(document["settings"]) > 1
    sections = [_result(document)]
    if many:
        sections.append(Section("All settings", tuple(_drawings(document, -1))))
    for setting in document["settings"]:
        sections.append(_setting(document, setting, many=many))
    sections += [
        Section("Recipe", (Terms(tuple(recipe.sentences(document))),)),
        Section("Counts", tuple(_counts(document))),
        Section("Lineages", tuple(_lineages(document))),
        Section("Environments", tuple(_environments(document))),
        Section("Names and digests", tuple(_digests(document))),
        Section("Run it again", (_again(), Code(json.dumps(document["body"], indent=2, sort_keys=True), "json"))),
        Section("Cite", (Code(bibtex(document), "bibtex"),)),
    ]
    return Written(search["name"], subtitle, tuple(sections))


def _result(document: Document) -> Section:
    blocks: list[Block] = []
    if document["notice"]:
        blocks.append(Notice(document["notice"]))
    blocks.append(Text(document["claim"]["sentence"]))
    others = [claim["sentence"] for claim in document["claims"] if claim["setting"] != document["claim"].get("setting")]
    if others:
        blocks.append(Bullets(tuple(others)))
    sentences = dict.fromkeys(setting["label_sentence"] for setting in document["settings"])
    blocks += [Text(sentence) for sentence in sentences]
    blocks.append(Text(document["statistics"]["statement"]))
    if document["search"]["note"]:
        blocks.append(Terms((("Note", document["search"]["note"]),)))
    if document["warnings"]:
        blocks += [Text("What a reader must know:"), Bullets(tuple(document["warnings"]))]
    return Section("Result", tuple(blocks))


def _setting(document: Document, setting: Mapping[str, Any], *, many: bool) -> Section:
    number, main = setting["setting"], setting["main_treatment"]
    levels = [level for level in document["levels"] if level["setting"] == number]
    title = f"Setting {number}: {setting['name']}" if many else "Levels"
    if not levels:
        return Section(title, (Text("No level is committed yet."),))
    blocks: list[Block] = list(_drawings(document, number))
    tables = [
        verdict_table(levels),
        paired_table(levels, main),
        *(figure_table(levels, main, figure, caption, words.accuracy) for figure, caption in ACCURACIES.items()),
        step_table(levels, main),
    ]
    speed = dict.fromkeys(level["speed_rule"] for level in levels if "speed_rule" in level)
    blocks += [table for table in tables[:2] if table is not None]
    if speed:
        said = "Speed rule: " + "; ".join(_speed(levels, rule) for rule in speed)
        blocks.append(Text(f"{said}. A dash under j / j: a training was still improving at its last evaluation."))
    blocks += [table for table in tables[2:] if table is not None]
    return Section(title, tuple(blocks))


def _speed(levels: list[Mapping[str, Any]], rule: str) -> str:
    found = [level["level"] for level in levels if level.get("speed_rule") == rule]
    return f"{rule} at level{'s' if len(found) > 1 else ''} {words.numbers(found)}"


def _drawings(document: Document, setting: int) -> Iterator[Drawing]:
    for figure in document["figures"]:
        if figure["setting"] == setting:
            yield Drawing(figure["id"], figure["title"], figure["caption"])


def _counts(document: Document) -> Iterator[Block]:
    counts = document["counts"]
    if counts["reason"]:
        yield Text(f"Not checked against a ladder: {counts['reason']}.")
    elif not counts["mismatches"]:
        yield Text(
            f"All {words.count(counts['checked'])} committed levels of the chains keep exactly as many weights as the "
            "density ladder of the specification says."
        )
    else:
        rows = [
            tuple(str(one[name]) for name in ("setting", "replicate", "level", "kept", "expected"))
            for one in counts["mismatches"][:MAX_SHOWN]
        ]
        yield Notice(f"{len(counts['mismatches'])} levels keep another number of weights than the ladder says.")
        yield Table("Levels off the ladder", ("setting", "replicate", "level", "kept", "ladder"), tuple(rows))
    for setting in document["settings"]:
        table = layer_table([level for level in document["levels"] if level["setting"] == setting["setting"]])
        if table is not None:
            yield table


def _lineages(document: Document) -> Iterator[Block]:
    lineages, usage = document["lineages"], document["usage"]
    states = ", ".join(f"{num} {state}" for state, num in lineages["states"].items())
    yield Text(f"{lineages['num']} lineages: {states}.")
    ended = lineages["ended_early"]
    if ended:
        rows = [
            (
                words.treatment_name(one["treatment"]),
                str(one["setting"]),
                str(one["replicate"]),
                f"{one['levels_done']} of {one['levels_planned']}",
                one["status"],
                words.end_reason(one["reason"]) + (f": {one['error']['message']}" if one["error"] else ""),
            )
            for one in ended[:MAX_SHOWN]
        ]
        head = ("treatment", "setting", "replicate", "levels", "state", "reason")
        yield Table("Lineages that did not reach their end", head, tuple(rows), frozenset({4, 5}))
    hours = {name: seconds / 3600 for name, seconds in usage.items()}
    yield Text(f"Used: {hours.get('gpu_seconds', 0):.2f} GPU hours and {hours.get('cpu_seconds', 0):.2f} CPU hours.")


def _environments(document: Document) -> Iterator[Block]:
    names = ("python", "torch", "numpy", "platform", "device", "isa", "threads")
    rows = [
        (
            one["fingerprint_sha256"][:12],
            str(one["levels"]),
            one["engine"],
            one["code"][:40],
            *(str(one["fingerprint"].get(name, "–")) for name in names),
        )
        for one in document["environments"]
    ]
    if not rows:
        yield Text("No level is committed yet.")
        return
    if len({one["fingerprint_sha256"] for one in document["environments"]}) > 1:
        yield Notice("Levels were computed in more than one environment: bits can differ between them.")
    head = ("fingerprint", "levels", "engine", "code", *names)
    yield Table("Where levels were computed", head, tuple(rows), frozenset(range(2, len(head))))


def _digests(document: Document) -> Iterator[Block]:
    search, digests, best = document["search"], document["digests"], document["best"]
    pairs = [
        ("Search", f"{search['id']}, {search['status']}, accepted {search['created_at']}"),
        ("Specification", f"sha256:{digests['spec']}"),
        ("Data set", f"{document['recipe']['dataset']['name']}, sha256:{digests['dataset']}"),
    ]
    if digests["results"]:
        pairs.append(("Results", f"sha256:{digests['results']}"))
    if best is not None:
        place = f"level {best['level']}, replicate {best['replicate']}"
        pairs.append(("Best output", f"{best['id']} ({place}), mask sha256:{best['mask_sha256']}"))
    yield Terms(tuple(pairs))
    claim = document["claim"]
    shown = [
        one
        for one in document["tickets"]
        if claim["made"] and (one["setting"], one["level"]) == (claim["setting"], claim["level"])
    ]
    if shown:
        rows = [
            (str(one["replicate"]), one["id"], words.accuracy(one["test_accuracy"]), one["mask_sha256"])
            for one in shown
        ]
        head = ("replicate", "id", "test accuracy", "mask sha256")
        yield Table(f"Outputs of the claimed level {claim['level']}", head, tuple(rows), frozenset({1, 3}))


def _again() -> Text:
    return Text("This body, posted to /v1/searches or given to `python -m lth_core.run`, asks the same question:")

"""The report of a search as data: what was asked, what came out, how sure it is, and what it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lth_core.canonical import FORMAT
from lth_core.expansion import WINNING_TICKET, PlannedLineage
from service.store import clock
from workers.analyses.findings import spread
from workers.reporting import recipe, standing, words
from workers.reporting.bibtex import PAPER_KEY
from workers.reporting.drawable import drawable
from workers.searched import Searched
from workers.usage import usage


def report_document(searched: Searched) -> dict[str, Any]:
    """Return the whole report; the same levels and the same log give the same document."""
    plan, facts = searched.plan, searched.facts
    judged = searched.judged
    return {
        "object": "report",
        "format": FORMAT,
        "search": _search(searched),
        "notice": _notice(searched),
        "recipe": recipe.recipe(searched),
        "statistics": _statistics(searched),
        "claim": _claim(searched, judged.get("claim")),
        "claims": [_claim(searched, claim) for claim in judged.get("claims", [])],
        "warnings": list(judged.get("warnings", [])),
        "settings": [_setting(searched, index) for index in searched.settings],
        "levels": [_level(searched, level) for level in judged["levels"]],
        "counts": standing.counts(searched),
        "lineages": standing.lineages(searched),
        "environments": standing.environments(searched),
        "digests": {
            "spec": plan.spec_digest,
            "results": facts.log.terminal.results if facts.log.terminal else None,
            "dataset": plan.accepted.dataset.digest,
        },
        "best": standing.best(searched),
        "tickets": standing.tickets(searched),
        "usage": _usage(searched),
        "figures": [figure.as_json() for figure in drawable(searched)],
        "citations": [PAPER_KEY],
        "body": recipe.body(plan.accepted.submission),
    }


def _search(searched: Searched) -> dict[str, Any]:
    facts, accepted = searched.facts, searched.plan.accepted
    terminal = facts.log.terminal
    committed = [
        str(manifest["committed_at"])
        for own in searched.plan.lineages
        for level in searched.levels(own)
        if (manifest := searched.manifest(own, level)) is not None
    ]
    shown = {"name": accepted.submission.title, "note": accepted.submission.note, "labels": accepted.submission.labels}
    shown.update({name: value for name, value in facts.log.settings.items() if name in shown})
    return {
        "id": searched.plan.id,
        **shown,
        "status": facts.status(),
        "reason": terminal.reason if terminal else None,
        "complete": searched.is_complete,
        "created_at": clock.to_text(accepted.accepted_at),
        "ended_at": terminal.at if terminal else None,
        "last_level_at": max(committed, default=None),
        "levels_committed": searched.num_committed,
        "levels_planned": searched.num_planned,
        "code": accepted.provenance.get("code"),
    }


def _notice(searched: Searched) -> str | None:
    """Say that a report is of a search under way, or of one that did not finish all it planned."""
    done = f"{words.count(searched.num_committed)} of {words.count(searched.num_planned)} levels are committed"
    if not searched.is_complete:
        return (
            f"This search is still {searched.facts.status()}: {done}. Figures and verdicts are those of the levels "
            "committed so far and will change."
        )
    if searched.num_committed < searched.num_planned:
        return f"This search ended as {searched.facts.status()} before all that it planned: {done}."
    return None


def _statistics(searched: Searched) -> dict[str, Any]:
    judged = searched.judged
    confidence = 100 * searched.spec.rule.confidence
    return {
        "statement": words.BOUNDS.format(confidence=confidence),
        "bounds": judged.get("bounds"),
        "estimators": judged.get("estimators"),
        "rule": judged.get("rule"),
        "final": searched.is_complete,
    }


def _setting(searched: Searched, index: int) -> dict[str, Any]:
    chain = searched.settings[index][0]
    label = searched.label(index)
    return {
        "setting": index,
        "cell": chain.setting,
        "name": words.cell_name(chain.setting),
        "label": label,
        "label_sentence": words.label_sentence(label, chain.spec.rewind.step),
        "main_treatment": words.treatment_key(WINNING_TICKET, label),
    }


def _claim(searched: Searched, claim: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a claim with the sentence that states it."""
    so_far = "" if searched.is_complete else " so far"
    if claim is None:
        return {"made": False, "sentence": f"No level passes on validation{so_far}: no claim is made."}
    verdict = {
        "yes": "it passes there too",
        "no": "it does not pass there",
        "inconclusive": "there the bounds decide neither way",
    }[claim["verdict"]]
    where = f" in setting {claim['setting']} ({words.cell_name(claim['cell'])})" if claim["cell"] else ""
    over = f"{claim['n']} replicate{'s' if claim['n'] != 1 else ''}"
    sentence = (
        f"Level {claim['level']} at density {words.density(claim['density'])}{where} is the sparsest level that passes "
        f"“{words.verdict_name(claim['rule'])}” on validation{so_far}; judged once on test over {over}, {verdict}."
    )
    if claim["verdict"] == "yes" and claim["rule"] != "paper_point":
        output = words.OUTPUTS[searched.label(claim["setting"])]
        sentence += f" Its networks are {output}s." if claim["n"] > 1 else f" Its network is a {output}."
    return {"made": True, "sentence": sentence, **claim}


def _level(searched: Searched, judged: Mapping[str, Any]) -> dict[str, Any]:
    """Return a judged level with its layers and the ladder's count, treatments under their reported names."""
    lineages = [own for own in searched.settings[judged["setting"]] if own.source_key is None]
    label = searched.label(judged["setting"])
    level = {**judged, "label": label}
    level["treatments"] = {words.treatment_key(name, label): one for name, one in judged["treatments"].items()}
    if searched.ladders:
        level["ladder"] = searched.ladders[judged["setting"]][judged["level"]]
    level["layers"] = _layers(searched, lineages, judged["level"])
    level["paired"] = dict(judged.get("paired", {}))
    return level


def _layers(searched: Searched, chains: Sequence[PlannedLineage], level: int) -> list[dict[str, Any]]:
    cores = [m["core"] for own in chains if (m := searched.manifest(own, level)) is not None]
    return [
        {
            "name": layer["name"],
            "kind": layer["kind"],
            "total": layer["total"],
            "kept": spread(core["layers"][i]["kept"] for core in cores),
        }
        for i, layer in enumerate(cores[0]["layers"] if cores else ())
    ]


def _usage(searched: Searched) -> dict[str, float]:
    stored = (searched.facts.results or {}).get("usage")
    if stored:
        return {name: float(value) for name, value in stored.items()}
    every = (one for levels in searched.manifests.values() for one in levels.values())
    return usage(every, searched.plan.id)

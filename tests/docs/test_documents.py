"""The documents against the code: every setting, command and decision is written down, every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import typer

from lth_core.names import CountRule, Criterion, MethodName, ModelName, TreatmentName
from service.cli.main import app
from service.cli.tables import VERDICT_HEADS as VERDICTS
from service.settings import Settings
from service.store.jobs import SEARCH_ANALYSES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def test_every_setting_stands_in_the_settings_page_and_no_other() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `(LTH_[A-Z_]+)`", page, re.MULTILINE))
    assert documented == {f"LTH_{name.upper()}" for name in Settings.model_fields}


def test_every_command_stands_in_the_command_page() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    missing = [name for name in command_names(typer.main.get_command(app)) if f"`lth {name}" not in page]
    assert missing == []


def test_everything_that_can_be_asked_for_stands_in_the_science_page() -> None:
    page = (ROOT / "docs" / "science.md").read_text()
    choices = (ModelName, MethodName, Criterion, CountRule, TreatmentName)
    names = [name for choice in choices for name in get_args(choice)] + [*SEARCH_ANALYSES, *VERDICTS]
    assert [name for name in names if f"`{name}`" not in page] == []


def command_names(command: object, prefix: str = "") -> list[str]:
    """Return the full names of all commands below a click group."""
    children = getattr(command, "commands", None)
    if not children:
        return [prefix.strip()]
    return [name for child, below in sorted(children.items()) for name in command_names(below, f"{prefix} {child}")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_every_decision_stands_in_the_index() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    pages = [path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")]
    assert pages
    assert [name for name in pages if name not in index] == []

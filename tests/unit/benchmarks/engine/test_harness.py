"""The harness on contestants that are scripts: round robin, windows, reasons of those that fall out."""

from __future__ import annotations

import sys

import pytest

from benchmarks.engine.children import Child, Entry, start_all
from benchmarks.engine.harness import judge_first_steps, levels_of, measure
from benchmarks.engine.protocol import AbsentError

SCRIPT = """
import argparse
import numpy as np
from benchmarks.engine.protocol import AbsentError, Spent, serve

LOG = {log!r}

class Scripted:
    def __init__(self, name, replicates):
        self.name, self.num_replicates, self.asked = name, replicates, 0

    def window(self, level, evaluate, warmup, steps):
        print("noise that is no answer")
        self.asked += 1
        if self.name == "dies" and self.asked == 4:
            raise SystemExit(1)
        if self.name == "fails" and self.asked == 4:
            raise ValueError("it was too much")
        with open(LOG, "a") as log:
            log.write(f"{{self.name}} {{level}} {{int(evaluate)}} {{steps}}\\n")
        return Spent(0.001 * steps * self.num_replicates, 0.002 * steps * self.num_replicates)

    def score(self, level):
        return Spent(0.5, 0.5)

    def first_steps(self, level, steps):
        off = 1e-4 if self.name == "wrong" else 0.0
        return [{{"w": np.full(4, level + off + i)}} for i in range(self.num_replicates)]

def opened(work, args):
    if args.name == "absent":
        raise AbsentError("it has no wings")
    return Scripted(args.name, args.replicates)

serve(opened, "name")
"""


@pytest.fixture
def entries(scripted, tmp_path):
    script = scripted(SCRIPT.format(log=str(tmp_path / "log")))

    def entry(name: str, replicates: int = 1, *, dense: bool = True) -> Entry:
        return Entry(name, (sys.executable, str(script), "--name", name, "--replicates", str(replicates)), dense=dense)

    return entry


@pytest.fixture
def started(lenet, tmp_path):
    running: dict[str, Child] = {}

    def start(*wanted: Entry):
        found, absent = start_all(wanted, lenet.folder, tmp_path / "logs")
        running.update(found)
        return found, absent

    yield start
    for child in running.values():
        child.close()


def silent(text: str) -> None:
    del text


def test_contestants_take_turns_and_another_one_begins_each_round(entries, started, lenet, tmp_path):
    running, _ = started(entries("a"), entries("b", 4), entries("c"))
    samples, lost = measure(running, lenet, rounds=2, cadences=(False,), say=silent)
    assert not lost
    windows = [(s.contestant, s.level, s.round) for s in samples if s.steps]
    assert windows[:3] == [("a", 0, 0), ("b", 0, 0), ("c", 0, 0)]
    assert windows[9:12] == [("b", 0, 1), ("c", 0, 1), ("a", 0, 1)]
    assert len(windows) == 2 * 3 * 3
    assert {s.steps for s in samples if s.contestant == "a" and s.steps} == {300}
    assert {s.steps for s in samples if s.contestant == "b" and s.steps} == {100}
    assert {round(s.per_step("cpu"), 9) for s in samples if s.steps} == {0.001}
    assert {round(s.per_step("wall"), 9) for s in samples if s.steps} == {0.002}
    first = (tmp_path / "log").read_text().splitlines()[0]
    assert first == "a 0 0 100"  # a trial window decides the length and is no sample


def test_the_test_set_is_timed_once_per_round_and_level(entries, started, lenet):
    running, _ = started(entries("a"))
    samples, _ = measure(running, lenet, rounds=2, say=silent)
    assert [(s.level, s.cpu_s) for s in samples if not s.steps] == [(level, 0.5) for level in (0, 1, 2)] * 2


@pytest.mark.parametrize(("name", "reason"), [("dies", "ended with status"), ("fails", "it was too much")])
def test_one_that_falls_out_is_left_out_with_its_reason(entries, started, lenet, name, reason):
    running, _ = started(entries("a"), entries(name))
    samples, lost = measure(running, lenet, rounds=2, cadences=(False,), tests=False, say=silent)
    assert reason in lost[name]
    assert list(running) == ["a"]
    assert len([s for s in samples if s.contestant == "a"]) == 6


def test_those_that_cannot_take_part_say_why(entries, started):
    missing = Entry("missing", ("/nowhere/python",))
    named = Entry("named", (), absent="nobody asked for it")
    running, absent = started(entries("a"), entries("absent"), missing, named)
    assert list(running) == ["a"]
    assert absent["absent"] == "it has no wings"
    assert "No such file" in absent["missing"]
    assert absent["named"] == "nobody asked for it"


def test_first_steps_are_held_against_the_reference(entries, started, tmp_path):
    running, _ = started(entries("reference", 2), entries("right", 2), entries("wrong"))
    gates = judge_first_steps(running, "reference", [0, 2], tmp_path / "first", silent)
    found = {(gate.contestant, gate.level, gate.replicate): gate.holds for gate in gates}
    assert found == {
        **{("right", level, replicate): True for level in (0, 2) for replicate in (0, 1)},
        **{("wrong", level, 0): False for level in (0, 2)},
    }


def test_a_contestant_that_has_ended_says_so_when_asked(entries, started):
    running, _ = started(entries("dies"))
    for _ in range(3):
        running["dies"].window(0, evaluate=False, warmup=1, steps=1)
    for _ in range(2):
        with pytest.raises(AbsentError, match="ended"):
            running["dies"].window(0, evaluate=False, warmup=1, steps=1)


def test_few_levels_stand_for_all_where_masks_change_nothing():
    assert levels_of(range(21), dense=True) == (0, 5, 10, 15, 20)
    assert levels_of((0, 7, 14), dense=True) == (0, 7, 14)
    assert levels_of(range(21), dense=False) == tuple(range(21))

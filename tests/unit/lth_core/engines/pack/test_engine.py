"""What the pack engine does with trainings: queues, progress, cancelling, failing, and several shapes at once."""

from __future__ import annotations

import pytest

from lth_core.engines.base import Trained
from lth_core.engines.pack import PackEngine
from lth_core.engines.pack.pack import Pack
from lth_core.errors import LevelCancelled
from lth_core.gradual import Tightening
from lth_core.pulse import Pulse
from tests.support.pack_plans import (
    IMAGES,
    KINDS,
    admit,
    data_of,
    digest,
    engine,
    lineage_of,
    plan_of,
    run_all,
    subject_of,
    train_alone,
)
from tests.support.tiny import tiny_data, tiny_lineage


def test_more_trainings_than_slots_wait_and_all_end():
    running = engine(2, segment_steps=10)
    admit(running, **{f"t{i}": plan_of(lineage_of("dense adam", replicate=i)) for i in range(5)})
    assert running.progress() == {f"t{i}": 0 for i in range(5)}
    running.run()
    assert running.progress() == {"t0": 10, "t1": 10, "t2": 0, "t3": 0, "t4": 0}
    results = run_all(running)
    assert set(results) == {f"t{i}" for i in range(5)}
    assert all(isinstance(result, Trained) for result in results.values())
    assert running.progress() == {}
    assert running.collect() == {}
    assert not running.run()


def test_several_shapes_advance_side_by_side_and_keep_their_bits():
    running = engine(2, segment_steps=3)
    admit(running, **{kind: subject_of(kind) for kind in KINDS})
    running.run()
    assert set(running.progress().values()) == {3}
    results = run_all(running)
    assert {kind: digest(results[kind]) for kind in KINDS} == {
        kind: digest(train_alone(subject_of(kind))) for kind in KINDS
    }


def test_a_caller_that_asks_to_stop_ends_its_own_training_only():
    running, heard = engine(2, segment_steps=4), []
    subject = subject_of("dense adam")
    stopping = Pulse(heard.append, lambda: len(heard) >= 4)
    running.admit("stopping", subject, data_of(subject), stopping)
    admit(running, subject=subject)
    results = run_all(running)
    assert isinstance(results["stopping"], LevelCancelled)
    assert results["stopping"].step == heard[-1] < subject.lineage.train.steps
    assert digest(results["subject"]) == digest(train_alone(subject))


def test_a_callback_that_fails_is_the_result_of_its_training_only():
    def fail(step: int) -> None:
        raise OSError("the caller is gone")

    running, subject = engine(2), subject_of("dense adam")
    running.admit("failing", subject, data_of(subject), Pulse(fail))
    admit(running, subject=subject)
    results = run_all(running)
    assert isinstance(results["failing"], OSError)
    assert isinstance(results["subject"], Trained)


def test_a_cancelled_training_leaves_no_trace_and_its_slot_serves_the_next():
    running, subject = engine(1, segment_steps=4), subject_of("dense adam")
    admit(running, first=subject_of("dense adam"), second=subject)
    running.run()
    running.cancel("first")
    running.cancel("nobody")
    assert running.progress() == {"second": 0}
    assert {name: digest(result) for name, result in run_all(running).items()} == {
        "second": digest(train_alone(subject))
    }


def test_cancelling_what_waits_or_has_ended_forgets_it():
    running = engine(1)
    admit(running, first=subject_of("dense adam"), second=subject_of("dense adam"))
    running.cancel("second")
    while running.run():
        pass
    running.cancel("first")
    assert running.collect() == {}


def test_a_checkpoint_of_another_plan_or_engine_is_left_aside():
    running, subject = engine(1, segment_steps=4), subject_of("dense adam")
    admit(running, other=plan_of(lineage_of("dense adam", replicate=1)))
    running.run()
    other = running.checkpoint("other")
    running.cancel("other")
    running.admit("subject", subject, data_of(subject), checkpoint=other)
    assert digest(run_all(running)["subject"]) == digest(train_alone(subject))


def test_a_checkpoint_before_the_first_segment_is_none():
    running = engine(1)
    admit(running, subject=subject_of("dense adam"))
    assert running.checkpoint("subject") is None


def test_what_only_the_reference_does_is_refused():
    running, lineage = engine(1), lineage_of("dense adam")
    gradual = tiny_lineage(train={"steps": 20}, prune={"end_step": 10, "every": 5})
    for plan in (plan_of(lineage, held=True), plan_of(gradual, tightening=Tightening(gradual, 1))):
        with pytest.raises(ValueError, match="reference engine only"):
            running.admit("plan", plan, data_of(plan))


def test_a_plan_that_does_not_fit_is_refused_before_it_enters_a_slot():
    running, plan = engine(1), subject_of("dense adam")
    bad_mask = plan_of(plan.lineage)
    bad_mask.mask.pop("out.weight")
    cases = {
        "a mask covers exactly": (bad_mask, tiny_data()),
        "data must be": (plan, tiny_data(IMAGES)),
        "optimizer's state must have": (plan_of(plan.lineage, optimizer_state={}), tiny_data()),
    }
    for message, (refused, data) in cases.items():
        with pytest.raises(ValueError, match=message):
            running.admit("plan", refused, data)
    running.admit("plan", plan, tiny_data())
    with pytest.raises(ValueError, match="name must be new"):
        running.admit("plan", plan, tiny_data())


@pytest.mark.parametrize("field", ["num_slots", "num_branches", "segment_steps"])
def test_an_engine_without_room_or_steps_is_refused(field):
    with pytest.raises(ValueError, match=f"{field} must be >= 1, got 0"):
        PackEngine(**{field: 0})


def test_what_a_device_raises_ends_the_trainings_in_the_pack_and_the_next_ones_get_a_new_one(monkeypatch):
    running = engine(2, segment_steps=10)
    admit(running, t0=subject_of("dense momentum"), t1=subject_of("dense momentum"), t2=subject_of("dense momentum"))
    whole = Pack.run_segment

    def lost(self: Pack, limit: int | None = None) -> None:
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(Pack, "run_segment", lost)
    running.run()
    found = running.collect()
    assert {name: str(error) for name, error in found.items()} == dict.fromkeys(("t0", "t1"), "the device is lost")
    monkeypatch.setattr(Pack, "run_segment", whole)
    assert digest(run_all(running)["t2"]) == digest(train_alone(subject_of("dense momentum")))


def test_a_pack_that_cannot_be_built_fails_its_training_and_no_other(monkeypatch):
    running = engine(2, segment_steps=10)
    small, large = subject_of("dense adam"), subject_of("dense momentum")
    build = PackEngine._build

    def too_large(self, shape, data):
        if shape.optimizer == "momentum":
            raise MemoryError("too large")
        return build(self, shape, data)

    monkeypatch.setattr(PackEngine, "_build", too_large)
    admit(running, small=small, large=large)
    results = run_all(running)
    assert isinstance(results["large"], MemoryError)
    assert digest(results["small"]) == digest(train_alone(small))

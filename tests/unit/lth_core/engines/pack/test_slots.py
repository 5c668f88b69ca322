"""The promise of a pack: a training's bits depend on its plan, not on slot, pack size, neighbours or admission."""

from __future__ import annotations

import numpy as np
import pytest

from lth_core.engines.pack import PackEngine
from lth_core.engines.pack.pack import Pack
from lth_core.errors import NonFiniteError
from tests.support.pack_plans import (
    KINDS,
    admit,
    data_of,
    differing,
    digest,
    engine,
    lineage_of,
    neighbours_of,
    plan_of,
    run_all,
    subject_of,
    train_alone,
)


@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_on_nothing_but_the_plan(kind):
    assert differing(kind) == []


@pytest.mark.parametrize("kind", ["dense adam", "batch norm"])
def test_a_diverging_training_fails_alone_and_its_neighbours_do_not_notice(kind):
    running = engine(4)
    neighbours = neighbours_of(kind)
    admit(running, diverging=neighbours[1], subject=subject_of(kind))
    results = run_all(running)
    assert isinstance(results["diverging"], NonFiniteError)
    assert results["diverging"].step == lineage_of(kind).train.eval_every
    assert digest(results["subject"]) == digest(train_alone(subject_of(kind)))


def test_a_finished_slot_keeps_every_bit_while_others_train_on():
    short = plan_of(lineage_of("dense adam", steps=6))
    running = engine(2, segment_steps=20)
    admit(running, short=short, long=subject_of("dense adam"))
    running.run()
    done = running.collect()
    state = next(iter(running._packs.values()))._state
    held = done["short"].final["fc1.weight"].reshape(-1)
    assert np.array_equal(state.weights[0, : held.size].numpy().view(np.uint32), held.view(np.uint32))
    assert "long" in running.progress()


def test_pruned_weights_and_their_moments_are_exactly_zero():
    for kind in ("dense adam", "dense momentum"):
        found = train_alone(subject_of(kind))
        kept = np.concatenate([found.mask.get(n, np.ones(w.shape, bool)).ravel() for n, w in found.final.items()])
        weights = np.concatenate([w.ravel() for w in found.final.values()])
        assert not weights.view(np.uint32)[~kept].any()
        assert np.count_nonzero(weights[kept]) > 0.8 * kept.sum()
        for name, moment in found.recorded_optimizer.items():
            assert name == "count" or not moment.view(np.uint32)[~kept].any()


class OrderLeaks(Pack):
    """A wrong pack: the slot's number enters the order of the data."""

    def _upload(self, length: int) -> None:
        super()._upload(length)
        for place, order in enumerate(self._state.order):
            self._state.order[place] = order.roll(place)


class MaskSlips(Pack):
    """A wrong pack: every training works under the mask of the one before it."""

    def _upload(self, length: int) -> None:
        super()._upload(length)
        places = [slot.place for slot in self.taken]
        survivors = self._steps.moments.survivors
        slipped = [survivors[place] for place in [*places[-1:], *places[:-1]]]
        for place, those in zip(places, slipped, strict=True):
            survivors[place] = those


class RateSlips(Pack):
    """A wrong pack: every training has the learning rates of the one before it."""

    def _upload(self, length: int) -> None:
        super()._upload(length)
        taken = [slot.place for slot in self.taken]
        self._state.rates[:, taken] = self._state.rates[:, taken].roll(1, 1)


class NanSpreads(Pack):
    """A wrong pack: a sum over all slots, times 0, reaches every slot."""

    def _stride(self, position: int, length: int) -> int:
        found = super()._stride(position, length)
        self._state.weights.add_(self._state.weights.sum() * 0)
        return found


def broken(wrong: type[Pack]) -> list[str]:
    """Return the circumstances that change a training in a wrong pack."""

    class WrongEngine(PackEngine):
        def _build(self, shape, data):
            built = super()._build(shape, data)
            built.__class__ = wrong
            return built

    def build(num_slots, segment_steps):
        engine(1)
        return WrongEngine(num_slots=num_slots, segment_steps=segment_steps)

    return differing("dense adam", build)


@pytest.mark.parametrize("wrong", [OrderLeaks, MaskSlips])
def test_the_check_of_this_promise_catches_a_pack_that_breaks_it(wrong):
    assert "last slot of a full pack" in broken(wrong)


@pytest.mark.parametrize("wrong", [RateSlips, NanSpreads])
def test_the_check_catches_a_diverging_neighbour_that_reaches_others(wrong):
    with pytest.raises(NonFiniteError):
        broken(wrong)


def test_a_wrong_pack_that_holds_one_training_alone_is_a_right_one():
    """The wrong packs above are wrong about neighbours only: what the check catches is what they do to them."""
    subject = subject_of("dense adam")
    running = engine(1)
    running.admit("subject", subject, data_of(subject))
    running.run()
    next(iter(running._packs.values())).__class__ = OrderLeaks
    assert digest(run_all(running)["subject"]) == digest(train_alone(subject))

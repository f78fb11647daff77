"""Time is the sample counter: what depends on it is a function of it alone."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from training.plan import TrainingPlan


@pytest.fixture
def plan() -> TrainingPlan:
    return TrainingPlan(
        samples=1000,
        batch_size=10,
        learning_rate=2.0,
        warmup_samples=100,
        ema_decay=0.99,
        gradient_clip=1.0,
        weight_decay=0.0,
        checkpoint_samples=250,
        validation_samples=100,
        seed=0,
    )


def test_the_learning_rate_warms_up_and_falls_as_a_half_cosine(plan):
    assert plan.learning_rate_at(0) == pytest.approx(0.2)
    assert plan.learning_rate_at(90) == pytest.approx(2.0)
    assert plan.learning_rate_at(100) == pytest.approx(2.0)
    assert plan.learning_rate_at(550) == pytest.approx(2.0 * 0.51)
    assert plan.learning_rate_at(1000) == pytest.approx(2.0 * 0.02)
    assert plan.learning_rate_at(5000) == pytest.approx(2.0 * 0.02)


def test_what_changes_no_number_is_not_recorded(plan):
    free = {"gradient_checkpointing": True, "workers": 2, "checkpoint_samples": 10}
    changed = plan.model_copy(update=free)
    assert (changed.identity, changed.record) == (plan.identity, plan.record)


def test_a_warm_up_shorter_than_a_batch_does_not_exceed_the_peak(plan):
    short = plan.model_copy(update={"warmup_samples": 5})
    assert short.learning_rate_at(0) == 2.0


def test_the_learning_rate_never_rises_after_the_warm_up(plan):
    rates = [plan.learning_rate_at(counter) for counter in range(100, 1000, 10)]
    assert rates == sorted(rates, reverse=True)


def test_due_falls_once_on_every_multiple_and_at_the_end(plan):
    due = [counter for counter in range(10, 1001, 10) if plan.due(counter, 250)]
    assert due == [250, 500, 750, 1000]


def test_due_does_not_need_the_batch_to_divide_the_interval(plan):
    due = [counter for counter in range(10, 1001, 10) if plan.due(counter, 333)]
    assert due == [340, 670, 1000]


def test_an_interval_shorter_than_a_batch_is_due_at_each_step(plan):
    assert all(plan.due(counter, 3) for counter in range(10, 100, 10))


def with_rates(plan: TrainingPlan, rates: object) -> TrainingPlan:
    return TrainingPlan.model_validate(plan.model_dump() | {"learning_rate": rates})


def test_a_rate_may_hold_from_a_sample_number_on(plan):
    changed = with_rates(plan, {500: 0.5, 0: 2.0})
    for counter in (0, 90, 100, 499):
        assert changed.learning_rate_at(counter) == plan.learning_rate_at(counter)
    assert with_rates(plan, "2e0") == plan  # YAML reads it as a text
    for counter in (500, 1000):
        assert changed.learning_rate_at(counter) == plan.learning_rate_at(counter) / 4


def test_only_rates_of_the_past_belong_to_a_checkpoint(plan):
    changed = with_rates(plan, {0: 2.0, 500: 0.5})
    assert changed.identity_at(500) == plan.identity_at(500)
    assert changed.identity_at(510) != plan.identity_at(510)
    assert changed.identity_at(510)["learning_rate"] == {0: 2.0, 500: 0.5}
    assert with_rates(plan, 1.0).identity_at(10) != plan.identity_at(10)
    assert changed.record != plan.record


def test_rates_are_read_back_from_a_recorded_experiment(plan):
    changed = with_rates(plan, {0: 2.0, 500: 0.5})
    stored = json.loads(json.dumps(changed.model_dump(mode="json")))
    assert TrainingPlan.model_validate(stored) == changed


@pytest.mark.parametrize("rates", [{}, {8: 1.0}, {-8: 1.0, 0: 1.0}, {0: 0.0}, {0: float("inf")}])
def test_rates_without_a_beginning_or_a_sense_are_refused(plan, rates):
    with pytest.raises(ValidationError):
        with_rates(plan, rates)


def test_a_lower_rate_goes_on_from_a_checkpoint(plan):
    assert plan.lower_from(500) == {0: 2.0, 500: 0.7}
    assert with_rates(plan, plan.lower_from(500)).lower_from(500) == {0: 2.0, 500: 0.7}
    assert with_rates(plan, plan.lower_from(500)).lower_from(750) == {0: 2.0, 500: 0.7, 750: 0.2}

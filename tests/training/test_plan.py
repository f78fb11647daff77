"""Time is the sample counter: what depends on it is a function of it alone."""

from __future__ import annotations

import pytest

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

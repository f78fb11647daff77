"""Regression of equilibria that depend on parameters and states in a known way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studies.partial.forms import Form, left_out, regress, respond
from studies.partial.records import Records, span
from studies.partial.rows import CANDIDATES, EQUILIBRIUM, REGRESSION, REMAINING, Choices

YEARS = np.array([1.0, 2.0, 5.0])
RESPONSE = np.random.default_rng(9).normal(size=(2, 30))
HIDDEN = np.random.default_rng(8).normal(size=30)


def ensemble(size: int = 12, seed: int = 0, *, hidden: float = 0.0) -> Records:
    """Runs whose equilibrium is 5 plus a linear function of the parameters and of a hidden one.

    They begin at the equilibrium of the parameters before the step, and go a tenth of the way to
    the new one each year.
    """
    random = np.random.default_rng(seed)
    points, steps = random.normal(size=(2, size, 2))
    own = hidden * random.normal(size=(size, 1)) * HIDDEN
    equilibrium = 5 + points @ RESPONSE + own
    start = 5 + (points - steps) @ RESPONSE
    way = (0.1 * YEARS)[:, None]
    means = start[:, None] * (1 - way) + equilibrium[:, None] * way
    return Records(points, steps, YEARS, means, equilibrium, np.array([100.0]))


TRAINING, RUNS = ensemble(), ensemble(4, seed=1)


def relative_error(form: Form, training: Records, runs: Records) -> float:
    """Of the prediction, relative to that of staying put."""
    unknown = replace(runs, equilibrium=np.full_like(runs.equilibrium, np.nan))
    error = form.predict(training, unknown) - runs.equilibrium
    return float(np.abs(error).max() / np.abs(runs.last - runs.equilibrium).max())


@pytest.mark.parametrize(
    "form",
    [
        Form(EQUILIBRIUM, ("parameters",)),
        Form(REMAINING, ("change",)),
        Form(REMAINING, ("tendency",), through_origin=True),
        Form("change from the first year", ("change of parameters",), through_origin=True),
        Form("rest beyond the extrapolation", ("parameters", "change", "tendency")),
    ],
    ids=lambda form: form.name,
)
def test_a_response_without_noise_is_found(form):
    assert relative_error(form, TRAINING, RUNS) < 0.02


def test_the_state_tells_what_the_parameters_do_not():
    training, runs = ensemble(hidden=2.0), ensemble(4, seed=1, hidden=2.0)
    assert relative_error(Form(EQUILIBRIUM, ("parameters",)), training, runs) > 0.3
    assert relative_error(Form(REMAINING, ("change",)), training, runs) < 0.02


def test_a_response_through_the_origin_is_nothing_where_nothing_changes():
    fields = np.random.default_rng(0).normal(size=(5, 7)) + 3
    points = np.random.default_rng(1).normal(size=(5, 2))
    assert np.abs(respond(fields, points, np.zeros((1, 2)))).max() == 0
    assert np.abs(regress(fields, points, np.zeros((1, 2)))).max() > 1


def test_a_member_that_is_left_out_does_not_tell_its_equilibrium():
    changed = TRAINING.equilibrium.copy()
    changed[3] += 100
    for form in CANDIDATES[REGRESSION]:
        before = left_out(form.predict, TRAINING)
        after = left_out(form.predict, replace(TRAINING, equilibrium=changed))
        np.testing.assert_array_equal(before[3], after[3])
        assert not np.allclose(before[4], after[4])


def test_coordinates_in_their_span_give_the_same_predictions():
    basis = span(TRAINING)
    small = TRAINING.projected(basis)
    assert small.last.shape[1] < TRAINING.last.shape[1]
    for form in CANDIDATES[REGRESSION]:
        found = left_out(form.predict, small) @ basis
        np.testing.assert_allclose(found, left_out(form.predict, TRAINING), atol=1e-6)


def test_the_form_that_predicts_left_out_members_best_is_chosen():
    choices = Choices.of(ensemble(hidden=2.0), years=(2, 5))
    assert set(choices.forms) == set(CANDIDATES)
    means = {name: sum(one.values()) for name, one in choices.scores[REGRESSION].items()}
    assert min(means, key=lambda name: means[name]) == choices.forms[REGRESSION].name
    assert choices.forms[REGRESSION].target != EQUILIBRIUM

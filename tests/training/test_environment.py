"""Another environment is a warning, because it changes the last digits only."""

from __future__ import annotations

import warnings

import pytest

from training.environment import environment, warn_of_other_environment


def test_a_warning_names_what_differs(tmp_path):
    with pytest.warns(UserWarning, match=r"made with torch 1.0 instead of \S+: the numbers"):
        warn_of_other_environment(tmp_path, environment() | {"torch": "1.0"})


@pytest.mark.parametrize("stored", [{}, environment()])
def test_the_same_or_an_unknown_environment_is_none(tmp_path, stored):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_other_environment(tmp_path, stored)

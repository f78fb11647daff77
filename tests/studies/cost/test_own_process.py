"""Calls in a process of their own."""

from __future__ import annotations

import os

import pytest

from data.errors import UserError
from studies.cost.own_process import in_own_process


def fail(sentence: str) -> None:
    raise UserError(sentence)


def test_the_result_is_of_another_process():
    assert in_own_process(os.getpid) != os.getpid()


def test_a_mistake_of_the_user_is_passed_on():
    with pytest.raises(UserError, match="no such sea"):
        in_own_process(fail, "no such sea")


def test_a_process_that_dies_is_reported():
    with pytest.raises(UserError, match=r"without a result \(exit code 3\)"):
        in_own_process(os._exit, 3)

"""Shares of the samples among processes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from data.errors import UserError
from training.batches import check_shares


def test_a_split_that_leaves_a_process_without_a_state_is_refused_before_training():
    two = SimpleNamespace(num_processes=2)
    check_shares([1, 2], accelerator=two)
    with pytest.raises(UserError, match="1 validation state cannot be shared by 2 processes"):
        check_shares([1], accelerator=two)

"""What a call costs is what it adds."""

from __future__ import annotations

import pytest
import torch

from studies.cost.meter import Meter, use_threads


def test_memory_is_the_peak_beyond_what_was_there():
    meter = Meter(repeats=1)
    held = torch.ones(5_000_000)
    growth = meter.peak_memory_growth(lambda: held + 1)
    if growth != growth:
        pytest.skip("the system does not tell its peak of memory")
    assert 15 < growth < 40  # 20 MB


def test_threads_are_left_alone_unless_given():
    before = torch.get_num_threads()
    use_threads(None)
    assert torch.get_num_threads() == before
    use_threads(before + 1)
    assert torch.get_num_threads() == before + 1
    use_threads(before)

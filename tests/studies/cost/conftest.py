"""What the tests of costs share: chains of the module's `experiment`, and counted operations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch.utils.flop_counter import FlopCounterMode

from configs import Experiment
from studies.cost.chains import Chain, chains_of
from studies.cost.systems import synthetic_archive


@pytest.fixture
def chains(experiment: Experiment) -> dict[str, Chain]:
    """Chains of the experiment, by how they are guided."""
    return chains_of(experiment, synthetic_archive(experiment), "cpu")


@pytest.fixture(scope="session")
def gflop() -> Callable[[Callable[[], object]], float]:
    """Counts the operations of a call [GFLOP]."""

    def count(call: Callable[[], object]) -> float:
        with FlopCounterMode(display=False) as counter:
            call()
        return counter.get_total_flops() / 1e9

    return count

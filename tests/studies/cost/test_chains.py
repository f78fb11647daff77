"""The pieces of a chain: together they are the chain."""

from __future__ import annotations

import pytest
import torch

from configs.schema import BenchmarkSettings
from guidance.guide import Guide
from latent_diffusion.noise import member_generator
from studies.cost.chains import GUIDED, UNGUIDED, Chain

GRID = BenchmarkSettings(grid=(5, 16, 16))


@pytest.fixture
def experiment(tiny_experiment):
    return tiny_experiment().model_copy(update={"benchmark": GRID})


@pytest.mark.parametrize("how", [UNGUIDED, GUIDED])
def test_the_pieces_of_a_chain_make_up_the_chain(chains, how, gflop):
    chain: Chain = chains[how]
    parts = [(piece.count, gflop(piece.call)) for piece in chain.pieces()]
    whole = gflop(
        lambda: chain.pipeline.draw(
            generators=[member_generator(0, 0)], steps=chain.steps, guide=chain.guide
        )
    )
    assert sum(count * gflop for count, gflop in parts) == pytest.approx(whole)


def test_steps_that_are_guided_alike_are_timed_once(chains):
    assert chains[UNGUIDED].steps_alike() == {0: chains[UNGUIDED].steps}
    chain = chains[GUIDED]
    assert isinstance(chain.guide, Guide)
    alike = chain.steps_alike()
    assert sum(alike.values()) == chain.steps
    # Unguided, pulled to the nearest stable state, and the last step, apart.
    assert len(alike) == 3
    assert chain.guided_steps == chain.steps - alike[0]


def test_a_step_on_its_own_is_the_one_of_the_chain(chains):
    chain = chains[UNGUIDED]
    first = next(iter(chain.pieces())).call()
    again = next(iter(chain.pieces())).call()
    assert isinstance(first, torch.Tensor)
    assert torch.equal(first, again)

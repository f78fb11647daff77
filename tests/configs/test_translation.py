"""States of another grid or model as states of a run's ocean: on tiny trained models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.foreign import in_kinds_of
from configs.translation import Translation, both, both_operator
from data.archive.format import UNUSED
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.block_means import BlockMeans
from data.errors import UserError
from data.state import State
from latent_diffusion.sample import draw


@pytest.mark.slow
def test_a_coarse_source_gives_means_and_a_source_of_the_same_cells_noise(conditional, coarse):
    by_means = Translation.of(conditional, coarse)
    assert (by_means.how, by_means.maps, by_means.index) == ("means", False, 2)
    by_noise = Translation.of(conditional, conditional.archive, state=3)
    assert (by_noise.how, by_noise.maps, by_noise.index) == ("noise", True, 3)
    with pytest.raises(UserError, match="give --by noise"):
        Translation.of(conditional, conditional.archive, how="means")
    with pytest.raises(UserError, match="state 3 is none of them"):
        Translation.of(conditional, coarse, state=3)


@pytest.mark.slow
def test_the_means_of_the_source_are_those_of_the_fine_state(conditional, coarse):
    translation = Translation.of(conditional, coarse, state=0)
    fine = conditional.archive.read([20])
    blocks = BlockMeans.of(conditional.archive.grid, coarse.grid)
    torch.testing.assert_close(translation.value, both(blocks, fine)[0], atol=2e-5, rtol=0)
    seen = both_operator(blocks)(fine)[0]
    torch.testing.assert_close(seen, both(blocks, fine)[0])


@pytest.mark.slow
def test_states_given_means_are_nearer_to_them_than_others(conditional, coarse, tmp_path):
    run = conditional.with_members(4)
    translation = Translation.of(run, coarse, state=0)
    pipeline = run.pipeline()
    conditions, candidates = translation.conditions(pipeline, [], members=4, extrapolate=False)
    assert candidates is not None and conditions is not None
    assert abs(np.median(conditions.values["gm"]) - 800) < 150  # that of the true state
    draw(translation.ensemble(guided=False, conditions=conditions), output=tmp_path / "given.zarr")
    plain = replace(translation.ensemble(guided=False, conditions=conditions), posterior=None)
    draw(replace(plain, record=plain.record + " "), output=tmp_path / "prior.zarr")
    misfits = []
    for name in ("given", "prior"):
        states = StateArchive.open(tmp_path / f"{name}.zarr").read(range(4))
        difference = translation.value - both(translation.blocks, states)
        misfits.append(float((difference / translation.errors(pipeline.codec)).square().mean()))
    assert misfits[0] < 0.7 * misfits[1]
    assert misfits[0] < 2


@pytest.mark.slow
def test_little_noise_returns_the_source_and_the_record_states_it(conditional, tmp_path):
    run = conditional.with_members(2)
    translation = Translation.of(run, conditional.archive, state=25, maps=False)
    pipeline = run.pipeline()
    conditions, _ = translation.conditions(
        pipeline, ["gm=800", "season=0", "age=inf"], members=2, extrapolate=False
    )
    conditions = replace(conditions, certain=True)
    rms = []
    for amplitude in (0.05, 0.99):
        noise = translation.noise(pipeline, conditions, amplitude=amplitude)
        ensemble = translation.starting(noise, guided=False, conditions=conditions)
        assert f'"noise": {amplitude}' in ensemble.record
        path = tmp_path / f"{amplitude}.zarr"
        draw(ensemble, output=path)
        states = StateArchive.open(path).read([0, 1])
        codec = pipeline.codec
        autoencoded = codec.decode(codec.encode(translation.given))
        rms.append(float((states.temperature - autoencoded.temperature).square().mean().sqrt()))
    assert rms[0] < 0.3 * rms[1]


@pytest.mark.slow
def test_the_noise_is_chosen_where_the_spectra_agree(conditional, coarse):
    """The noise is the least with which the worst scale agrees."""
    translation = Translation.of(conditional, coarse, state=0, how="noise", maps=False)
    pipeline = conditional.pipeline()
    conditions, _ = translation.conditions(
        pipeline, ["gm=800", "season=0", "age=inf"], members=1, extrapolate=False
    )
    found = translation.noise(pipeline, replace(conditions, certain=True), amplitude=None)
    assert 0.05 < found.amplitude < 1
    worst = max(found.scales, key=lambda scale: scale.noise)
    assert worst.noise == pytest.approx(found.amplitude)
    assert abs(worst.ratio(found.amplitude) - 1) == pytest.approx(worst.tolerance)


@pytest.mark.slow
def test_a_warmer_source_is_mapped_to_the_climate(conditional, coarse, tmp_path):
    with ArchiveWriter(
        tmp_path / "warm.zarr", grid=coarse.grid, equation_of_state=coarse.equation_of_state
    ) as writer:
        for index in range(3):
            state = coarse.read([index])
            wet = torch.from_numpy(coarse.grid.wet)
            warm = State(state.temperature + 4 * wet, state.salinity)
            writer.append(warm, member=0, time=0.0, split=UNUSED)
    warm = StateArchive.open(tmp_path / "warm.zarr")
    training = conditional.archive.read(conditional.archive.indices("train"))
    bias = []
    for maps in (False, True):
        given = Translation.of(conditional, warm, state=0, how="noise", maps=maps).given
        bias.append(float((given.temperature.mean() - training.temperature.mean()).abs()))
    assert bias[0] > 2 > 1 > bias[1]


def test_other_kinds_of_temperature_and_salinity_are_refused_or_converted(tiny_grid, tiny_states):
    grid = tiny_grid()
    state = tiny_states(grid, batch=1, seed=0)
    assert in_kinds_of(state, grid, source="jmd95", target="nemo-eos80", convert=False) is state
    with pytest.raises(UserError, match="give --convert"):
        in_kinds_of(state, grid, source="jmd95", target="nemo-teos10", convert=False)
    pytest.importorskip("gsw")
    there = in_kinds_of(state, grid, source="jmd95", target="nemo-teos10", convert=True)
    wet = torch.from_numpy(grid.wet)
    assert float((there.salinity - state.salinity)[:, wet].mean()) == pytest.approx(0.17, abs=0.03)
    back = in_kinds_of(there, grid, source="nemo-teos10", target="jmd95", convert=True)
    torch.testing.assert_close(back.temperature, state.temperature, atol=1e-4, rtol=0)
    torch.testing.assert_close(back.salinity, state.salinity, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="positions in km"):
        plane = replace(grid, horizontal_units="km")
        in_kinds_of(state, plane, source="jmd95", target="nemo-teos10", convert=True)

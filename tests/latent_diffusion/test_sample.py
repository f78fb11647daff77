"""Ensembles in archives."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import torch
import zarr

from configs.stages import sample
from data.archive.format import consolidate
from data.archive.reader import StateArchive
from data.errors import Stopped, UserError
from guidance.seawater import equation_of_state
from guidance.stratification import adjust, density_steps, wet_pairs
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.sample import adjust_archive, draw
from training.stopping import stopping_on_signals


@pytest.fixture
def count_batches(monkeypatch):
    """The sizes of the batches drawn; `count_batches.stop_at` interrupts after that many."""

    class Batches(list):
        stop_at: int | None = None

    batches, call = Batches(), StatePipeline.draw

    def counted(self, *, generators, **options):
        if len(batches) == batches.stop_at:
            batches.stop_at = None
            raise KeyboardInterrupt
        batches.append(len(generators))
        return call(self, generators=generators, **options)

    monkeypatch.setattr(StatePipeline, "draw", counted)
    return batches


def _with(experiment, **sampling):
    settings = experiment.settings.sampling.model_copy(update=sampling)
    return experiment.with_settings(sampling=settings)


def _channels(path) -> torch.Tensor:
    archive = StateArchive.open(path)
    return archive.read(range(len(archive))).to_channels()


def test_an_ensemble_records_its_origin_and_has_nan_on_land(trained, tmp_path):
    path = tmp_path / "states.zarr"
    draw(trained.ensemble(guided=True), output=path)
    archive = StateArchive.open(path)
    record = json.loads(archive.attributes["sampling"])
    assert record["model"] == "tiny"
    assert record["sampling"]["scheduler"] == "DPMSolverMultistepScheduler"
    assert record["sampling"]["steps"] == 4
    assert record["guidance"]["start"] == 0.5
    assert archive.equation_of_state == "veros-vallis"
    assert archive.member.tolist() == [0, 1, 2]
    archive.verify()
    stored = zarr.open_group(path, mode="r")["thetao"][...]
    assert np.isnan(stored[:, ~archive.grid.wet]).all()
    assert np.isfinite(stored[:, archive.grid.wet]).all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["states.zarr"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_sampling_after_the_current_batch(
    trained, tmp_path, count_batches, monkeypatch, number
):
    draw(trained.ensemble(guided=False), output=tmp_path / "whole.zarr")
    path, counted = tmp_path / "parted.zarr", StatePipeline.draw

    def signalled(self, **options):
        signal.raise_signal(number)
        return counted(self, **options)

    with monkeypatch.context() as patch, pytest.raises(Stopped), stopping_on_signals():
        patch.setattr(StatePipeline, "draw", signalled)
        draw(trained.ensemble(guided=False), output=path)
    assert count_batches == [2, 1, 2]
    assert not path.exists()
    draw(trained.ensemble(guided=False), output=path)
    assert count_batches == [2, 1, 2, 1], "no batch was drawn twice"
    assert torch.equal(_channels(path), _channels(tmp_path / "whole.zarr"))


def test_an_ensemble_is_not_drawn_twice_but_another_is(trained, tmp_path, count_batches):
    path = tmp_path / "states.zarr"
    draw(trained.ensemble(guided=False), output=path)
    draw(trained.ensemble(guided=False), output=path)
    assert count_batches == [2, 1]
    first = _channels(path)
    draw(_with(trained, seed=1).ensemble(guided=False), output=path)
    assert count_batches == [2, 1, 2, 1]
    assert not torch.allclose(_channels(path), first)


def test_an_interrupted_ensemble_continues_and_is_the_same(trained, tmp_path, count_batches):
    longer = _with(trained, members=5)
    draw(longer.ensemble(guided=True), output=tmp_path / "whole.zarr")
    count_batches.clear()
    count_batches.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        draw(longer.ensemble(guided=True), output=tmp_path / "parted.zarr")
    assert not (tmp_path / "parted.zarr").exists()
    draw(longer.ensemble(guided=True), output=tmp_path / "parted.zarr")
    assert count_batches == [2, 2, 1]
    whole, parted = (StateArchive.open(tmp_path / f"{name}.zarr") for name in ("whole", "parted"))
    assert parted.attributes["content_sha256"] == whole.attributes["content_sha256"]
    assert parted.member.tolist() == [0, 1, 2, 3, 4]


def test_a_damaged_batch_is_drawn_again(trained, tmp_path, count_batches):
    longer = _with(trained, members=5)
    draw(longer.ensemble(guided=False), output=tmp_path / "whole.zarr")
    count_batches.clear()
    count_batches.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        draw(longer.ensemble(guided=False), output=tmp_path / "parted.zarr")
    first, second = sorted(tmp_path.glob("parted.zarr.parts-*/*"))
    first.write_bytes(second.read_bytes())
    second.write_bytes(second.read_bytes()[:-100])
    draw(longer.ensemble(guided=False), output=tmp_path / "parted.zarr")
    assert count_batches == [2, 2, 2, 2, 1]
    assert torch.equal(_channels(tmp_path / "parted.zarr"), _channels(tmp_path / "whole.zarr"))


def test_a_late_command_leaves_the_finished_ensemble_as_it_is(trained, tmp_path, monkeypatch):
    """One `sample` was suspended in its second batch while another finished."""
    path, call = tmp_path / "states.zarr", StatePipeline.draw
    sizes = []

    def suspended(self, **options):
        sizes.append(len(options["generators"]))
        if len(sizes) == 2:
            draw(trained.ensemble(guided=False), output=path)
        return call(self, **options)

    monkeypatch.setattr(StatePipeline, "draw", suspended)
    draw(trained.ensemble(guided=False), output=path)
    archive = StateArchive.open(path)
    assert archive.member.tolist() == [0, 1, 2]
    archive.verify()
    assert [entry.name for entry in tmp_path.iterdir()] == ["states.zarr"]


def test_an_ensemble_that_lacks_members_is_refused(trained, tmp_path):
    path = tmp_path / "states.zarr"
    draw(_with(trained, members=2).ensemble(guided=False), output=path)
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    record = trained.sampling_record(guided=False)
    group.attrs.update({"sampling": record})
    consolidate(group.store)
    for use in (
        lambda: draw(trained.ensemble(guided=False), output=path),
        lambda: adjust_archive(path, tmp_path / "adjusted.zarr"),
    ):
        with pytest.raises(UserError, match="holds 2 states that are not the 3 members"):
            use()


def test_the_batch_size_does_not_change_the_ensemble(trained, tmp_path):
    draw(_with(trained, batch_size=1).ensemble(guided=True), output=tmp_path / "one.zarr")
    draw(_with(trained, batch_size=3).ensemble(guided=True), output=tmp_path / "three.zarr")
    torch.testing.assert_close(
        _channels(tmp_path / "one.zarr"), _channels(tmp_path / "three.zarr"), atol=1e-4, rtol=0
    )


def test_more_members_leave_the_first_ones_as_they_were(trained, tmp_path):
    draw(_with(trained, members=2).ensemble(guided=False), output=tmp_path / "two.zarr")
    draw(_with(trained, members=4).ensemble(guided=False), output=tmp_path / "four.zarr")
    torch.testing.assert_close(
        _channels(tmp_path / "four.zarr")[:2], _channels(tmp_path / "two.zarr"), atol=1e-4, rtol=0
    )


def _instability(path) -> tuple[torch.Tensor, int]:
    """Mean distance of states to their adjusted states [K], and the number of unstable pairs."""
    archive = StateArchive.open(path)
    eos = equation_of_state(archive.equation_of_state)
    state = archive.read(range(len(archive))).map(torch.Tensor.double)
    depth = torch.from_numpy(archive.grid.interface_depth)
    steps = density_steps(state, eos=eos, interface_depth=depth)
    unstable = (steps < 0) & wet_pairs(torch.from_numpy(archive.grid.wet))
    adjusted = adjust(state, eos=eos, grid=archive.grid)
    return (state.temperature - adjusted.temperature).abs().mean(), int(unstable.sum())


def test_guidance_brings_states_nearer_to_a_stable_one(trained, tmp_path):
    stronger = trained.with_settings(
        guidance=trained.settings.guidance.model_copy(update={"step_cap": 1.0, "inner_steps": 5})
    )
    for guided in (False, True):
        draw(stronger.ensemble(guided=guided), output=tmp_path / f"{guided}.zarr")
    unguided, pairs = _instability(tmp_path / "False.zarr")
    guided, _ = _instability(tmp_path / "True.zarr")
    assert pairs > 0, "the test needs states that overturn"
    assert guided < 0.9 * unguided


def test_adjusted_ensembles_are_stable_and_keep_each_columns_heat(trained, tmp_path):
    raw, adjusted = tmp_path / "raw.zarr", tmp_path / "adjusted.zarr"
    draw(trained.ensemble(guided=False), output=raw)
    adjust_archive(raw, adjusted)
    assert _instability(raw)[1] > 0
    assert _instability(adjusted)[1] == 0
    before, after = StateArchive.open(raw), StateArchive.open(adjusted)
    thickness = torch.from_numpy(before.grid.thickness)
    for field in ("temperature", "salinity"):
        contents = [
            (getattr(archive.read(range(3)), field).double() * thickness).sum(dim=1)
            for archive in (before, after)
        ]
        torch.testing.assert_close(contents[1], contents[0], rtol=1e-6, atol=1e-3)
    assert after.attributes["sampling"] == before.attributes["sampling"]
    assert "convective_adjustment" in after.attributes


def test_the_stage_draws_the_configured_ensemble(trained, tmp_path, count_batches):
    path = tmp_path / "states.zarr"
    sample(trained, output=path)
    assert _instability(path)[1] == 0
    sample(trained, output=path)
    assert count_batches == [2, 1], "an adjusted ensemble is not drawn twice"
    as_drawn = trained.settings.guidance.model_copy(update={"adjust": False})
    sample(trained.with_settings(guidance=as_drawn), output=path, overwrite=True)
    assert _instability(path)[1] > 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["states.zarr"]


def test_an_ensemble_in_a_zip_is_replaced_by_another(trained, tmp_path):
    path = tmp_path / "states.zarr.zip"
    sample(trained, output=path)
    first = _channels(path)
    sample(_with(trained, seed=9), output=path, overwrite=True)
    assert not torch.allclose(_channels(path), first)


@pytest.mark.parametrize("what", ["folder", "archive"])
def test_archives_other_than_ensembles_are_never_replaced(
    trained, tmp_path, what, write_tiny_archive
):
    path = tmp_path / "precious"
    if what == "folder":
        path.mkdir()
        (path / "thesis.tex").write_text("chapter 1")
    else:
        write_tiny_archive(path)
    before = sorted(entry.name for entry in path.iterdir())
    with pytest.raises(UserError, match="precious"):
        sample(trained, output=path)
    assert sorted(entry.name for entry in path.iterdir()) == before


def test_sampling_before_training_is_refused(tiny_run, tmp_path):
    with pytest.raises(UserError, match="holds no model; run the diffusion stage first"):
        sample(tiny_run(), output=tmp_path / "states.zarr")


def test_a_batch_that_is_no_sea_water_is_not_kept(trained, tmp_path, monkeypatch):
    call = StatePipeline.draw

    def diverged(self, **options):
        output = call(self, **options)
        output.state.temperature[0, 1] += 100
        return output

    monkeypatch.setattr(StatePipeline, "draw", diverged)
    sentence = r"state 0 of the ensemble has thetao outside -5 to 50 degC.* the chain did not conv"
    with pytest.raises(UserError, match=sentence):
        draw(trained.ensemble(guided=False), output=tmp_path / "states.zarr")
    assert list(tmp_path.rglob("*.safetensors")) == []

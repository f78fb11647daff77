"""The network that sees the running state, on a made ensemble."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from data.errors import UserError
from halocline import main
from latent_diffusion.gaussian import MemberGaussians
from studies.partial import network
from studies.partial.members import Courses
from studies.partial.network import RunningDenoiser, Task, network_rows, untrained
from studies.partial.report import PartialStudy, rms
from studies.partial.rows import OURS

FEW = 4


@pytest.fixture
def settings(settings):
    """With a validation member."""
    return settings.model_copy(update={"validation": [6]})


@pytest.fixture
def courses(settings, finish, tiny_grid) -> Courses:
    """All members: the warmer the target, the warmer their equilibrium."""
    warmth = {one.name: one.parameters.warming for one in settings.recorded}
    for member in settings.recorded:
        start, offset = warmth.get(member.parent, 1.0), warmth[member.name]
        finish(member.name, offset=offset, gap=start - offset, tau=20.0)
    return Courses.read(settings, tiny_grid())


@pytest.fixture
def short(conditional):
    """The settings of the tiny network, to be trained for a few steps."""
    settings = conditional.settings.diffusion
    plan = settings.training.model_copy(update={"samples": 2 * settings.training.batch_size})
    return settings.model_copy(update={"training": plan})


@dataclass(frozen=True)
class Biased(PartialStudy):
    """A study whose predictions are all off by the same field."""

    bias: np.ndarray | None = None

    def predicted(self, row: str, part: str, year: int) -> np.ndarray:
        return self.records[part].equilibrium + self.bias


def test_the_network_sees_the_running_state_and_the_parameters(courses, conditional, short):
    study, codec = PartialStudy.of(courses), conditional.codec()
    task = Task(study, codec, OURS, knows_parameters=True)
    denoiser = untrained(task, short, MemberGaussians(codec.latent_shape))
    assert isinstance(denoiser, RunningDenoiser)
    torch.nn.init.normal_(denoiser.unet.conv_out.weight)
    noisy = torch.randn(1, *codec.latent_shape)
    known = task.known("train").shape[2]
    assert known == 1 + study.records["train"].points.shape[1]
    features = torch.zeros(1, known + noisy.numel())

    def v(features):
        with torch.no_grad():
            return denoiser(noisy, 500, signal=0.6, noise=0.8, features=features)

    torch.testing.assert_close(v(None), v(features))
    for place in (known - 1, known + 3):
        other = features.clone()
        other[0, place] = 3.0
        assert not torch.allclose(v(other), v(features), atol=1e-4)


def test_an_error_that_all_predictions_share_is_corrected(
    courses, conditional, short, tmp_path, monkeypatch
):
    """Without much training: the denoiser knows the mean of the residuals in closed form."""
    monkeypatch.setattr(network, "DRAWN", FEW)
    plain = PartialStudy.of(courses)
    warmer = np.where(courses.grid.wet, 0.5, 0.0)
    bias = plain.space.vectors(np.stack([warmer, np.zeros_like(warmer)]))
    study = Biased(**vars(plain), bias=bias)
    run = replaced(conditional, short)
    rows = network_rows(study, run, folder=tmp_path / "networks", seeds=1)
    for row in rows.values():
        left = row("test", 5) - study.records["test"].equilibrium
        assert rms(left) < 0.4 * rms(bias[None])


def replaced(run, settings):
    return run.with_settings(diffusion=settings)


@pytest.mark.slow
def test_rows_of_networks_are_reported_for_members_they_were_not_trained_with(
    courses, settings, conditional, short, tiny_grid, tmp_path, monkeypatch
):
    data = conditional.settings.data.model_copy(update={"ensemble": settings})
    experiment = conditional.settings.model_copy(update={"data": data})
    monkeypatch.setattr("configs.load_experiment", lambda *_: experiment)
    monkeypatch.setattr("configs.found.load_run", lambda *_: replaced(conditional, short))
    monkeypatch.setattr("studies.ensemble.members.basin_grid", lambda _: tiny_grid())
    monkeypatch.setattr("studies.ensemble.members.require_veros", lambda: None)
    monkeypatch.setattr(network, "DRAWN", 1)
    output, figures = tmp_path / "out.json", tmp_path / "figures"
    paths = ["--output", str(output), "--figures", str(figures)]
    main(["study", "partial", "some.yaml", "--network", "other.yaml", "--seeds", "2", *paths])
    errors = json.loads(output.read_text())["errors"]["10"]
    for name in (*network.ROWS, *(f"{row}, seed 1" for row in network.ROWS)):
        assert set(errors[name]) == {"validation", "test", "outside"}
    assert errors[OURS].keys() >= {"train", "test"}


def test_what_the_network_needs_is_said_in_a_sentence(courses, conditional, tmp_path):
    without = replace(courses, settings=courses.settings.model_copy(update={"validation": []}))
    study = PartialStudy.of(without)
    with pytest.raises(UserError, match="no validation member is finished"):
        network_rows(study, conditional, folder=tmp_path, seeds=1)
    with pytest.raises(UserError, match="cannot be trained 0 times: give --seeds 1 or more"):
        network_rows(study, conditional, folder=tmp_path, seeds=0)

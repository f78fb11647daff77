"""The study of analyses in the model, with made-up integrations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from configs.stages import train_codec, train_denoiser
from data.errors import UserError
from integration.integrate import IntegrationResult
from latent_diffusion import inference
from studies.analyses import settings as s
from studies.analyses import study
from studies.analyses.tables import analyses_table

OPTIONS = {"points": 2, "network": "profiles_12", "members": 2, "steps": 12}


@pytest.fixture
def started(basin_run, made, tmp_path, monkeypatch):
    """Runs the study twice on a trained tiny basin; the starts of each, and the result."""
    train_codec(basin_run)
    train_denoiser(basin_run)
    monkeypatch.setattr(inference, "CANDIDATES", 64)
    monkeypatch.setattr(inference, "ROUNDS", 1)
    given = []

    def integrated(starts, points, **_):
        given.append((starts, points))
        runs = [made(name, 1.5 if name == s.OURS else 1.0) for name in starts[0]]
        return IntegrationResult(runs, dict.fromkeys(starts[0], 2.0))

    monkeypatch.setattr(study, "integrated", integrated)
    output = tmp_path / "result.json"
    study.run(basin_run, output=output, figures=tmp_path, **OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(study.Methods, "of", lambda *_: pytest.fail("analysed again"))
        study.run(basin_run, output=output, figures=tmp_path, **OPTIONS)
    return given, json.loads(output.read_text())


@pytest.mark.slow
def test_every_analysis_starts_the_model_and_is_kept(started, basin_run, tmp_path):
    (first, points), (again, _) = started[0]
    archive = basin_run.archive
    assert [len(first), len(points)] == [2, 2]
    for number, (one, other) in enumerate(zip(first, again, strict=True)):
        assert [*one] == [*s.LABELS]
        assert all(torch.equal(one[name].temperature, other[name].temperature) for name in one)
        truth = archive.read([points.index[number]])
        assert torch.equal(one[s.TRUTH].temperature, truth.temperature)
        away = [
            float((one[name].temperature - truth.temperature).square().mean())
            for name in (s.INTERPOLATED_MEAN, s.NEAREST)
        ]
        assert 0 < away[0] < away[1]
        # A mean is not one of its members.
        assert not torch.equal(
            one[s.INTERPOLATED_MEAN].temperature, one[s.INTERPOLATED].temperature
        )
    assert (tmp_path / "analyses_tiny.png").is_file()


@pytest.mark.slow
def test_runs_are_told_from_the_truths(started):
    result = started[1]
    assert result["rows"][s.OURS]["shock_percent"] == pytest.approx(50)
    assert result["rows"][s.TRUTH]["shock_percent"] is None
    assert len(np.unique(result["members"])) == 2
    lines = analyses_table(result, None).splitlines()
    assert len(lines) == 2 + len(s.LABELS)


def test_an_experiment_without_an_ocean_model_is_refused(tiny_run):
    with pytest.raises(UserError, match="no ocean model to integrate"):
        study.run(tiny_run())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"network": "profile_40"}, "profiles_40"), ({"years": 0}, "years is 0: give at least 1")],
)
def test_settings_that_make_no_sense_are_named(options, message):
    with pytest.raises(UserError, match=message):
        s.AnalysesSettings(**options)

"""Labels of states: from the parameter where an archive has one, otherwise from the time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from data.archive.reader import StateArchive
from evaluation.metrics.labels import Labels


def test_labels_follow_the_indices(tiny_archive):
    archive = StateArchive.open(tiny_archive)
    labels = Labels.of(archive, [13, 2])
    assert labels.member.tolist() == [1, 0]
    assert labels.time.tolist() == [1.0, 2.0]
    assert labels.season.tolist() == [0.0, 0.0]
    assert len(labels) == 2


def test_the_season_of_the_archive_takes_precedence_over_the_time():
    archive = SimpleNamespace(
        member=np.array([3, 7, 3]),
        time=np.array([1.25, 2.5, 3.75]),
        parameters={"season": np.array([0.5, 0.75, 0.0])},
    )
    assert Labels.of(archive, [0, 1, 2]).season.tolist() == [0.5, 0.75, 0.0]
    archive.parameters = {"wind_stress_scale": np.ones(3)}
    assert Labels.of(archive, [0, 1, 2]).season.tolist() == [0.25, 0.5, 0.75]
    assert Labels.of(archive, [0, 1, 2]).groups.tolist() == [0, 1, 0]

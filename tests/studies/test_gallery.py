"""The gallery of random states."""

from __future__ import annotations

import pytest

from configs.stages import sample_rows
from studies.gallery import run


@pytest.mark.slow
def test_a_gallery_shows_true_and_generated_states(trained, tmp_path, monkeypatch):
    sample_rows(trained)
    drawn = {}
    monkeypatch.setattr(
        "studies.gallery.save_figure", lambda figure, path: drawn.update({path: figure})
    )
    run(trained, count=2, output=tmp_path / "gallery.png")
    titles = [ax.get_title() for ax in drawn[tmp_path / "gallery.png"].axes]
    assert titles[:4] == [
        *("truth, state 1", "truth, state 2"),
        *("generated, state 1", "generated, state 2"),
    ]

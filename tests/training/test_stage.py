"""A stage's product stands only if it is whole and made with these settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.stage import is_done, put_in_place

RECORD: dict[str, object] = {"channels": (8, 16), "archive": Path("states.zarr")}


def _write(text: str):
    return lambda folder: (folder / "weights").write_text(text)


def test_a_product_is_done_for_its_settings_alone(tmp_path):
    product = tmp_path / "codec"
    assert not is_done(product, RECORD)
    put_in_place(product, RECORD, _write("first"))
    assert is_done(product, RECORD)
    assert not is_done(product, {**RECORD, "channels": (8, 8)})


def test_an_interrupted_stage_leaves_the_former_product(tmp_path):
    product = tmp_path / "codec"
    put_in_place(product, RECORD, _write("first"))

    def interrupted(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_in_place(product, {"channels": 1}, interrupted)
    assert is_done(product, RECORD)
    assert (product / "weights").read_text() == "first"
    put_in_place(product, RECORD, _write("second"))
    assert (product / "weights").read_text() == "second"

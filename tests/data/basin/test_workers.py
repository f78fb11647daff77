"""Integrations side by side: one that fails ends the others soon."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from data.basin.workers import Report, run_side_by_side
from data.errors import UserError


@dataclass(frozen=True)
class Errand:
    """Fails in its second step once the other runs, or takes a minute of small steps."""

    name: str
    folder: Path
    fails: bool = False
    years: float = 600.0

    @property
    def mark(self) -> Path:
        return self.folder / self.name


def do(errand: Errand, report: Report) -> None:
    errand.mark.touch()
    if errand.fails:
        while not (errand.folder / "long").exists():
            time.sleep(0.02)
        raise UserError("wild: the basin blew up in model year 3.00")
    for step in range(600):
        report(float(step))
        time.sleep(0.1)


def test_the_first_error_ends_all(tmp_path, capsys):
    errands = [Errand("wild", tmp_path, fails=True), Errand("long", tmp_path)]
    errands += [Errand(f"later_{number}", tmp_path) for number in range(3)]
    began = time.monotonic()
    with pytest.raises(UserError, match=r"^wild: the basin blew up in model year 3.00$"):
        run_side_by_side(do, errands, workers=2, label="errands")
    assert time.monotonic() - began < 30
    assert {path.name for path in tmp_path.iterdir()} <= {"wild", "long", "later_0", "later_1"}
    assert "errands: wild: the basin blew up in model year 3.00" in capsys.readouterr().err

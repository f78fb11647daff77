"""Transports of made-up flows, and of the basin's own, whose stream function the model knows."""

from __future__ import annotations

import numpy as np
import pytest

from data.basin.forcing import BasinParameters
from integration import circulation

LATITUDE = np.array([-60.0, -30.0, 0.0, 30.0, 60.0])
THICKNESS = np.array([400.0, 600.0, 2000.0])
BASE = np.cumsum(THICKNESS)
WIDTH = np.full((5, 4), 1e5)


def test_a_closed_cell():
    """1 Sv north in the top level and south in the deepest one, at 30N only."""
    v = np.zeros((3, 5, 4))
    v[0, 3], v[2, 3] = 1e6 / (400 * 4e5), -1e6 / (2000 * 4e5)
    stream = circulation.overturning(v, width=WIDTH, thickness=THICKNESS)
    np.testing.assert_allclose(stream[:, 3], [1.0, 1.0, 0.0], atol=1e-12)
    assert circulation.northern_cell(stream, latitude=LATITUDE, base=BASE) == pytest.approx(1.0)
    assert circulation.abyssal_cell(stream, base=BASE) == 0.0
    shallow = stream * (BASE < 500)[:, None]
    assert circulation.northern_cell(shallow, latitude=LATITUDE, base=BASE) == 0.0
    assert circulation.northern_cell(-stream, latitude=LATITUDE, base=BASE) == 0.0


def test_a_channel_and_a_gyre():
    """5 Sv through the southernmost row; in the north 2 Sv east at 60N, back west at 30N."""
    u = np.zeros((3, 5, 4))
    face = 1e5 * THICKNESS.sum()
    u[:, 0], u[:, 4], u[:, 3] = 5e6 / face, 2e6 / face, -2e6 / face
    stream = circulation.barotropic(u, length=np.full(5, 1e5), thickness=THICKNESS)
    assert circulation.channel_transport(stream) == pytest.approx(5.0)
    assert circulation.gyre_strength(stream, latitude=LATITUDE - 15.0) == pytest.approx(2.0)


def test_the_basins_flow_closes_and_has_its_own_stream_function():
    pytest.importorskip("veros", reason="the basin needs the extra: pip install halocline[basin]")
    from data.basin.run import BasinRun

    run = BasinRun(BasinParameters(resolution=5.0, tracer_step_days=2.0), seed=1)
    run.advance_to(20 / 360)
    (u, v), (eastern, northern) = run.velocities(), run.face_widths()
    thickness = run.geometry()["thickness"]
    stream = circulation.overturning(v, width=northern, thickness=thickness)
    assert np.abs(stream).max() > 1.0
    np.testing.assert_allclose(stream[-1], 0, atol=1e-9)
    gyres = circulation.barotropic(u, length=eastern, thickness=thickness)
    np.testing.assert_allclose(gyres[0], gyres[0].mean(), rtol=1e-9)
    model = run._variables
    psi = np.asarray(model.psi)[2:-2, 2:-2, int(model.tau)].T / circulation.SVERDRUP
    # The model's lies at the north-eastern corners.
    np.testing.assert_allclose(gyres[1:], psi[:-1] - psi[-1, 0], atol=1e-6)

"""What the tests of metrics share."""

from __future__ import annotations

import pytest

from data.grid import OceanGrid


@pytest.fixture
def grid(tiny_grid) -> OceanGrid:
    """The tiny ocean's grid, with land and sea floor."""
    return tiny_grid()

"""Made-up records of integrations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from integration.member_run import MemberRun
from integration.recording import SERIES

TIME = np.arange(49) * 15 / 360


@pytest.fixture
def made() -> Callable[..., MemberRun]:
    """Two years; the kinetic energy is `energy` times 2 after the start, which has none."""

    def run(
        label: str, energy: float, *, warming: float = 0.0, blow_up_year: float | None = None
    ) -> MemberRun:
        kinetic = energy * np.where(TIME > 0, 2.0, 0.0)
        return MemberRun(
            label=label,
            index=0,
            time=TIME,
            temperature=np.outer(warming * TIME / 2, np.ones(2)),
            salinity=np.zeros((len(TIME), 2)),
            series=dict.fromkeys(SERIES, kinetic),
            level_volume=np.ones(2),
            depth=np.array([50.0, 150.0]),
            thickness=np.full(2, 100.0),
            blow_up_year=blow_up_year,
        )

    return run

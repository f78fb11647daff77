"""Made-up integrations."""

from __future__ import annotations

import numpy as np

from integration.member_run import MemberRun
from integration.recording import SERIES

LEVELS, ROWS = 5, 12
THICKNESS = np.array([20.0, 80.0, 200.0, 800.0, 1800.0])
DEPTH = np.array([10.0, 60.0, 200.0, 700.0, 2000.0])


def make_run(label: str, index: int, years: float) -> MemberRun:
    """Level means with a season and noise, and of a cold start an approach over 20 years."""
    time = np.arange(0, 12 * years + 1) / 12
    noise = np.random.default_rng([index, len(label)]).normal(size=(time.size, LEVELS))
    approach = np.exp(-time / 20.0) * (2.0 if label == "analytic" else 0.0)
    profile = 20 * np.exp(-DEPTH / 500.0) + np.sin(2 * np.pi * time)[:, None]
    temperature = profile + 0.01 * noise.cumsum(axis=0) / 10 + approach[:, None]
    return MemberRun(
        label=label,
        index=index,
        time=time,
        temperature=temperature,
        salinity=35 + 0.01 * temperature,
        series={name: np.abs(1 + 0.1 * noise[:, 0]) * (time + 1) for name in SERIES},
        level_volume=THICKNESS,
        depth=DEPTH,
        thickness=THICKNESS,
        blow_up_year=None,
        temperature_change=np.abs(temperature - temperature[0]),
        salinity_change=np.abs(temperature - temperature[0]),
        overturning=np.ones((int(years), LEVELS, ROWS)),
    )

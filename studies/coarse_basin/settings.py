"""What the study of the coarse basin may vary, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from studies.twins import check_least, check_names

TRUTH, ANOTHER, RECONSTRUCTED = "truth", "another", "autoencoded_truth"
INTERPOLATED, ADJUSTED, MAPPED = "interpolated", "interpolated_adjusted", "mapped"
DOWNSCALED, MAPPED_DOWNSCALED = "downscaled", "mapped_downscaled"
TRANSLATED, GENERATED, NEAREST = "translated", "generated", "nearest_member"
LABELS = {
    TRUTH: "truth, 2.5 degrees",
    ANOTHER: "another true state",
    RECONSTRUCTED: "autoencoded truth",
    INTERPOLATED: "interpolated",
    ADJUSTED: "interpolated, adjusted",
    MAPPED: "interpolated, mapped",
    DOWNSCALED: "downscaled",
    MAPPED_DOWNSCALED: "mapped, downscaled",
    TRANSLATED: "translated",
    GENERATED: "drawn without the coarse state",
    NEAREST: "nearest training member",
}
STARTED = (TRUTH, ANOTHER, INTERPOLATED, DOWNSCALED, TRANSLATED, GENERATED, NEAREST)


@dataclass(frozen=True)
class CoarseSettings:
    """Settings of a study.

    points: test members that the coarse archive has, from the first; states: of each, spread over
    its record up to the last; members: states of each method for one coarse state; steps: of the
    chains; started: rows whose first state for the last coarse state of each point is integrated;
    years: length of these runs; seed: of all random numbers
    """

    points: int = 1
    states: int = 3
    members: int = 4
    steps: int = 60
    started: Sequence[str] = STARTED
    years: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"points": 1, "states": 1, "members": 1, "steps": 1, "years": 1}
        check_least(self, least)
        check_names("row", self.started, LABELS)

    def as_dict(self) -> dict[str, Any]:
        """The settings, ready for JSON."""
        return asdict(self) | {"started": list(self.started)}

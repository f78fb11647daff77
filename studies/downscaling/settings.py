"""What a study of downscaling may vary, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from studies.twins import check_least, check_names

INTERPOLATED, ADJUSTED = "interpolated", "interpolated_adjusted"
NEAREST, GAUSSIAN = "nearest_training_state", "eof_gaussian"
UNKNOWN, GUIDED, KNOWN = "unknown_conditions", "guided_adjusted", "known_conditions"
RECONSTRUCTED = "autoencoded_truth"
LABELS = {
    INTERPOLATED: "interpolated",
    ADJUSTED: "interpolated, adjusted",
    NEAREST: "nearest training state",
    GAUSSIAN: "EOF-Gaussian given means",
    UNKNOWN: "ours",
    GUIDED: "ours, guided, adjusted",
    KNOWN: "ours, known conditions",
    RECONSTRUCTED: "autoencoded truth",
}


@dataclass(frozen=True)
class DownscalingSettings:
    """Settings of a study.

    factor: sides of coarse cells, in cells; truths: number of true states, spread over the members
    of the `split`; members: states of each method for one truth; steps: of our chains; only: rows;
    seed: of all random numbers
    """

    factor: int = 2
    truths: int = 3
    members: int = 8
    steps: int = 60
    only: Sequence[str] = tuple(LABELS)
    split: str = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(self, {"factor": 2, "truths": 1, "members": 2, "steps": 1})
        check_names("row", self.only, LABELS)

    def as_dict(self) -> dict[str, Any]:
        """The settings, ready for JSON."""
        return asdict(self) | {"only": list(self.only)}

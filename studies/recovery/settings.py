"""What the study of recovered parameters may vary, and its rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from studies.observations.settings import NETWORKS
from studies.twins import check_least, check_names

PRIOR, NEAREST, INTERPOLATED, OURS = "prior", "nearest", "optimal_interpolation", "ours"
LABELS = {
    PRIOR: "range of the training members",
    NEAREST: "nearest training state",
    INTERPOLATED: "optimal interpolation",
    OURS: "ours",
}
SHARE = 0.9  # of the posterior probability in a range


@dataclass(frozen=True)
class RecoverySettings:
    """Settings of a study.

    truths: number of true states, spread over the members of the `split`; network: of observations,
    one of those of the study of observations; seed: of all random numbers
    """

    truths: int = 24
    network: str = "profiles_40"
    split: str = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(self, {"truths": 1})
        check_names("network of observations", [self.network], NETWORKS)

    def as_dict(self) -> dict[str, Any]:
        """The settings, ready for JSON."""
        return asdict(self)

"""What the study of analyses in the model may vary, and its rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from studies.observations import settings as observed
from studies.twins import check_least, check_names

TRUTH, ANOTHER, NEAREST = "truth", "another", "nearest_member"
INTERPOLATED, INTERPOLATED_MEAN = "optimal_interpolation", "optimal_interpolation_mean"
LOCALISED, LOCALISED_MEAN = "localised_interpolation", "localised_interpolation_mean"
OURS = "ours"
LABELS = {
    TRUTH: "truth",
    ANOTHER: "another true state",
    INTERPOLATED_MEAN: "optimal interpolation, mean",
    INTERPOLATED: "optimal interpolation, a member",
    LOCALISED_MEAN: "ensemble OI, localised, mean",
    LOCALISED: "ensemble OI, localised, a member",
    OURS: "ours, guided, adjusted, a member",
    NEAREST: "nearest training member",
}
# Rows of the study of observations from whose members an analysis is taken.
METHODS = (observed.INTERPOLATED, observed.LOCALISED, observed.GUIDED)


@dataclass(frozen=True)
class AnalysesSettings:
    """Settings of a study.

    points: test members, from the first, whose last state is observed; network: of observations;
    members: of each analysis; steps: of our chains; years: length of the runs; seed: of all random
    numbers
    """

    points: int = 3
    network: str = "profiles_40"
    members: int = 12
    steps: int = 60
    years: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(self, {"points": 1, "members": 2, "steps": 1, "years": 1})
        check_names("network of observations", [self.network], observed.NETWORKS)

    def as_dict(self) -> dict[str, Any]:
        """The settings, ready for JSON."""
        return asdict(self)

    @property
    def twins(self) -> observed.TwinSettings:
        """Those of the analyses."""
        return observed.TwinSettings(
            members=self.members,
            steps=self.steps,
            networks=[self.network],
            only=METHODS,
            seed=self.seed,
        )

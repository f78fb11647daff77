"""What spin-up costs with and without generated states: processor seconds, by plain arithmetic."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, isfinite

CPU_HOUR = 3600.0


@dataclass(frozen=True)
class Account:
    """Both routes to a settled state of one ocean model, in processor seconds.

    cold_seconds, cold_years: from the cold start until it has settled; cold_settled: False if it
    had not yet, so that these are lower bounds; sampling_seconds: of one state; adjustment_years,
    adjustment_seconds: what a generated state still needs; training_seconds: of both networks;
    data_seconds: simulating the states that training saw
    """

    year_seconds: float
    cold_years: float
    cold_seconds: float
    cold_settled: bool
    sampling_seconds: float
    adjustment_years: float
    training_seconds: float
    data_seconds: float

    @property
    def adjustment_seconds(self) -> float:
        """The simulated years that a generated state still needs."""
        return self.adjustment_years * self.year_seconds

    @property
    def generated_seconds(self) -> float:
        """One settled state from a trained model."""
        return self.sampling_seconds + self.adjustment_seconds

    @property
    def ratio(self) -> float:
        """Cold start / generated state, training apart."""
        return self.cold_seconds / self.generated_seconds

    def ratio_with(self, overhead: float, *, states: int) -> float:
        """The same for `states` states that share an overhead [s]."""
        return states * self.cold_seconds / (overhead + states * self.generated_seconds)

    def pays_after(self, overhead: float) -> int | None:
        """States that pay for an overhead [s]; None if no number of them does, or it is unknown."""
        saved = self.cold_seconds - self.generated_seconds
        return ceil(overhead / saved) if saved > 0 and isfinite(overhead) else None

    def as_dict(self) -> dict[str, float | bool | None]:
        """All of it, ready for JSON."""
        both = self.training_seconds + self.data_seconds
        return {
            **asdict(self),
            "adjustment_seconds": self.adjustment_seconds,
            "generated_seconds": self.generated_seconds,
            "ratio": self.ratio,
            "ratio_of_100_with_training": self.ratio_with(self.training_seconds, states=100),
            "ratio_of_100_with_training_and_data": self.ratio_with(both, states=100),
            "pays_training_after": self.pays_after(self.training_seconds),
            "pays_training_and_data_after": self.pays_after(both),
        }


@dataclass(frozen=True)
class OnPaper:
    """An ocean model that was not run: what is published of it, and what is assumed.

    spin_up: years and CPU-hours a simulated year of each stage of the cold start, of which the last
    is the model itself; production_years: after it, for the states to train on; sampling_seconds
    and training_seconds: measured or scaled
    """

    spin_up: tuple[tuple[float, float], ...]
    production_years: float
    adjustment_years: float
    sampling_seconds: float
    training_seconds: float

    def account(self) -> Account:
        """Both routes."""
        cold = CPU_HOUR * sum(years * hours for years, hours in self.spin_up)
        year = CPU_HOUR * self.spin_up[-1][1]
        return Account(
            year_seconds=year,
            cold_years=sum(years for years, _ in self.spin_up),
            cold_seconds=cold,
            cold_settled=True,
            sampling_seconds=self.sampling_seconds,
            adjustment_years=self.adjustment_years,
            training_seconds=self.training_seconds,
            data_seconds=cold + year * self.production_years,
        )

"""Cost of spin-up with and without generated states, in processor seconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, isfinite

CPU_HOUR = 3600.0


@dataclass(frozen=True)
class Account:
    """Cost of an equilibrated state by spin-up and by generation, in processor seconds.

    year_seconds: a simulated year
    cold_years, cold_seconds: from the cold start to equilibrium
    cold_settled: False if equilibrium was not reached, so that these are lower bounds
    sampling_seconds: generation of one state
    adjustment_years: simulation from a generated state to equilibrium
    training_seconds: both networks; data_seconds: simulation of the training states
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
        """Simulation from a generated state to equilibrium."""
        return self.adjustment_years * self.year_seconds

    @property
    def generated_seconds(self) -> float:
        """One equilibrated state from a trained model."""
        return self.sampling_seconds + self.adjustment_seconds

    @property
    def ratio(self) -> float:
        """Cost of a cold start / of a generated state, without training."""
        return self.cold_seconds / self.generated_seconds

    def ratio_with(self, overhead: float, *, states: int) -> float:
        """The ratio for `states` states that share an overhead [s]."""
        return states * self.cold_seconds / (overhead + states * self.generated_seconds)

    def pays_after(self, overhead: float) -> int | None:
        """Number of states that amortise an overhead [s]; None if none does or it is unknown."""
        saved = self.cold_seconds - self.generated_seconds
        return ceil(overhead / saved) if saved > 0 and isfinite(overhead) else None

    def as_dict(self) -> dict[str, float | bool | None]:
        """All costs and ratios, ready for JSON."""
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
class PublishedModel:
    """An ocean model that was not run here: published costs and assumptions.

    spin_up: years and CPU-hours per year of each stage of the spin-up; the last stage is the model
    production_years: simulation of the training states after the spin-up
    sampling_seconds, training_seconds: measured or scaled
    """

    spin_up: tuple[tuple[float, float], ...]
    production_years: float
    adjustment_years: float
    sampling_seconds: float
    training_seconds: float

    def account(self) -> Account:
        """The cost of both methods."""
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
